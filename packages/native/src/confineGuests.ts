/**
 * Guests on threads that may use only the system calls that guests need.
 *
 * @module
 */
import { Effect, Schema } from "effect"
import { type AddonError, loadAddon } from "./binding/loadAddon.ts"

/** This host does not filter the system calls of threads; guests run as before. */
export class ConfinementUnusable extends Schema.TaggedError<ConfinementUnusable>()("ConfinementUnusable", {
  /** What the host answered. */
  found: Schema.String
}) {
  override get message(): string {
    return (
      `expected a host that filters the system calls of threads (seccomp, on Linux), found: ${this.found}; ` +
      "run guests unconfined, or the process in a sandbox of the operating system"
    )
  }
}

/**
 * Confines the guests of this process, whatever their engine: their machines run on threads whose system calls are filtered
 * (seccomp, Linux only).
 *
 * Such a thread uses files that others have opened, memory, timers, KVM, and TCP and UDP sockets. It opens no file, starts no
 * program and no thread, and signals no other process: the kernel refuses that with `EPERM`. Machines that exist already are confined
 * when they next run. It cannot be undone, and repeating it changes nothing. It is off by default.
 *
 * It makes a fault in the engine harder to exploit, and is no second barrier: other threads of the process share its memory, and may
 * do more.
 *
 * @example
 * ```ts
 * import { confineGuests, NativeVmm } from "@stillpoint/native"
 * import { Layer } from "effect"
 *
 * export const confined = Layer.provideMerge(NativeVmm.layer, Layer.effectDiscard(confineGuests))
 * ```
 */
export const confineGuests: Effect.Effect<void, ConfinementUnusable | AddonError> = Effect.flatMap(
  loadAddon,
  (native) => {
    const found = native.confineGuests()
    return found === null ? Effect.void : Effect.fail(new ConfinementUnusable({ found }))
  }
)
