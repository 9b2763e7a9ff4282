/**
 * Parses the changes that the agent's file program reports.
 *
 * @module
 */
import { Stream } from "effect"
import { GuestFileError } from "../guestFiles/GuestFileError.ts"
import type { GuestFileChange, GuestFileChangeKind, GuestFileFailure } from "../guestFiles/GuestFiles.ts"

const kinds: Readonly<Record<string, GuestFileChangeKind>> = {
  b: "watching",
  c: "created",
  r: "removed",
  m: "modified",
  w: "closed",
  a: "attributes",
  f: "movedFrom",
  t: "movedTo",
  l: "lost"
}

const record = /^([bcrmwaftl]) ([d-]) (\d{1,10}) ([^]*)$/

/** Maximum bytes of a change: a path in the guest, and the fields before it. */
const mostBytes = 8192

const changeOf = (line: string): GuestFileChange | null => {
  const found = record.exec(line)
  if (found === null) return null
  const [, letter = "", type, move, path = ""] = found
  const kind = kinds[letter]
  if (kind === undefined) return null
  return { kind, path, isDirectory: type === "d", move: Number(move) === 0 ? null : Number(move) }
}

/** The changes that a watch of `path` tells, however its output is cut. */
export const changesOf = (
  said: Stream.Stream<Uint8Array, GuestFileFailure>,
  path: string
): Stream.Stream<GuestFileChange, GuestFileFailure> => {
  const invalid = (found: string) =>
    new GuestFileError({ operation: "watch", path, reason: { _tag: "AnswerInvalid", found: JSON.stringify(found) } })
  return Stream.suspend(() => {
    let rest: Uint8Array = new Uint8Array()
    return Stream.flatMap(said, (part) => {
      const bytes = Buffer.concat([rest, part])
      const changes: Array<GuestFileChange> = []
      let at = 0
      for (let end = bytes.indexOf(0); end >= 0; end = bytes.indexOf(0, at)) {
        const line = new TextDecoder().decode(bytes.subarray(at, end))
        const change = changeOf(line)
        if (change === null)
          return Stream.concat(Stream.fromIterable(changes), Stream.fail(invalid(line.slice(0, 200))))
        changes.push(change)
        at = end + 1
      }
      rest = bytes.subarray(at)
      const heard = Stream.fromIterable(changes)
      return rest.length > mostBytes ? Stream.concat(heard, Stream.fail(invalid("a change without an end"))) : heard
    })
  })
}
