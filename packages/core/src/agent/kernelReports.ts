/**
 * Reports of a guest's kernel about too little memory, on its console and when it panics.
 *
 * @module
 */
import type { GuestEvent } from "../GuestEvent.ts"

/**
 * Linux prints this on its console when it could not unpack its initial RAM file system (`init/initramfs.c`). It is
 * trusted only before the agent has announced itself: after that, any program may have written it.
 */
const unpackingFailed = /Initramfs unpacking failed: .*|rootfs image is not initramfs \(.*\)/

/** The kernel's report in a line that it could not unpack its whole root; `undefined` if it is none. */
export const unpackingReport = (line: string): string | undefined => unpackingFailed.exec(line)?.[0]

const outOfMemory = /deadlocked on memory|out of memory|Unable to allocate|Failed to allocate|panic_on_oom/i

/** Advice on a panic: more memory if the kernel names its lack, otherwise a look at the console. */
export const adviceOnPanic = (panic: string): string =>
  outOfMemory.test(panic) ? "the guest had too little memory: give the machine more" : "see its console for the cause"

/** A panic in words, with the kernel's earlier reports about its root, and advice. */
export const panicInWords = (panic: string, events: ReadonlyArray<GuestEvent>): string => {
  for (const event of events) {
    const report = event._tag === "SerialLine" ? unpackingReport(event.text) : undefined
    if (report !== undefined) {
      return `${panic}; before, it could not unpack its whole root (${report}): give the machine more memory, or make the root smaller`
    }
  }
  return outOfMemory.test(panic) ? `${panic}; ${adviceOnPanic(panic)}` : panic
}
