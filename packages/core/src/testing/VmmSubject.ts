/**
 * The subject of the laws of the `Vmm` port.
 *
 * @module
 */
import type { Effect, Scope } from "effect"
import type { GuestEventKind, GuestNanos } from "../GuestEvent.ts"
import type { BootSpec } from "../Vmm.ts"

/** A guest that the laws are tried on. */
export interface VmmSubject<R> {
  /** What to boot; the same guest each time. */
  readonly spec: Effect.Effect<BootSpec, unknown, R | Scope.Scope>
  /** A kind of event that the guest reaches without input, neither as its first nor as its last event. */
  readonly kind: GuestEventKind
  /** Guest time by which it has come to it, nanoseconds. */
  readonly withinNanos: GuestNanos
  /** Whether machines can be forked. If not, the law is that `fork` refuses with its typed error. */
  readonly forks: boolean
  /**
   * An existing empty directory, another one each time, where machines can be captured to and restored from. `null` where they
   * cannot: the law is then that `capture` refuses with its typed error.
   */
  readonly directory: Effect.Effect<string, unknown, R | Scope.Scope> | null
}
