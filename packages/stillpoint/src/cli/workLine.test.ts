import { assert, it } from "vitest"
import { makeWorkLine } from "./workLine.ts"

const mib = 2 ** 20

it("long-work-is-one-line-with-its-rate-and-the-time-left-and-one-more-for-each-thing", () => {
  const written: Array<string> = []
  let millis = 0
  const told = makeWorkLine({
    write: (text) => void written.push(text.replace("\r\u001B[K", "<")),
    columns: () => 60,
    millis: () => millis
  })
  const step = (atMillis: number, what: string, done: number, total: number): void => {
    millis = atMillis
    told({ what, doneBytes: done * mib, totalBytes: total * mib })
  }
  step(0, "kernel", 0, 40)
  // Not more often than it is read.
  step(1, "kernel", 1, 40)
  step(1000, "kernel", 10, 40)
  step(4000, "kernel", 40, 40)
  // Of what length is not known; and what is left unfinished ends its line.
  step(5000, "layer", 1, 0)
  step(6000, "layer", 3, 0)
  step(6000, "image", 2, 2)
  step(6000, "a name that is longer than there is room for it here", 2, 2)
  assert.deepStrictEqual(written, [
    "<kernel: 0.0 MiB of 40.0 MiB",
    "<kernel: 10.0 MiB of 40.0 MiB, 10.0 MiB/s, 3 s left",
    "<kernel: 40.0 MiB of 40.0 MiB, 10.0 MiB/s\n",
    "<layer: 1.0 MiB",
    "<layer: 3.0 MiB, 2.0 MiB/s",
    "\n",
    "<image: 2.0 MiB of 2.0 MiB\n",
    "<a name that is longer than there is ro…: 2.0 MiB of 2.0 MiB\n"
  ])
})
