/**
 * The guest's clock, for the Effects that a policy runs: `Effect.sleep("50 millis")` is 50 ms of guest time.
 *
 * @module
 */
import { type Clock, Duration, Effect, Option } from "effect"
import { horizonNanos } from "../guestDuration.ts"

/** Someone who sleeps. */
interface Sleeper {
  /** Guest time to wake at; not known while the guest runs, until it stands again. */
  wakeAtNanos: number | null
  readonly durationNanos: number
  readonly wake: () => void
}

/** A clock that its owner sets; epoch and monotonic time are both guest time since the first instruction. */
export class GuestClock implements Clock.Clock {
  private now = 0
  private isMoving = false
  private sleepers: ReadonlyArray<Sleeper> = []
  private readonly onSleep: () => void

  /** `onSleep` is called when someone goes to sleep while the guest runs: the owner must let it stand to see to him. */
  constructor(onSleep: () => void) {
    this.onSleep = onSleep
  }

  readonly currentTimeMillis: Effect.Effect<number> = Effect.sync(() => this.currentTimeMillisUnsafe())
  readonly currentTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.currentTimeNanosUnsafe())
  readonly monotonicTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.monotonicTimeNanosUnsafe())

  currentTimeMillisUnsafe(): number {
    return Math.floor(this.now / 1e6)
  }

  currentTimeNanosUnsafe(): bigint {
    return BigInt(this.now)
  }

  monotonicTimeNanosUnsafe(): bigint {
    return BigInt(this.now)
  }

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    const durationNanos = nanosOf(duration)
    // A sleep of no time concerns only the host: a loop of such sleeps must not keep the guest from continuing.
    if (durationNanos === 0) return Effect.yieldNow
    return Effect.callback<void>((resume) => {
      const sleeper: Sleeper = {
        durationNanos,
        wakeAtNanos: this.isMoving ? null : this.now + durationNanos,
        wake: () => resume(Effect.void)
      }
      this.sleepers = [...this.sleepers, sleeper]
      if (this.isMoving) this.onSleep()
      return Effect.sync(() => {
        this.sleepers = this.sleepers.filter((one) => one !== sleeper)
      })
    })
  }

  /** Guest time of the next one to wake; `null` for none. A time past the horizon never comes. */
  get wakeAtNanos(): number | null {
    const times = this.sleepers.flatMap(({ wakeAtNanos }) =>
      wakeAtNanos === null || wakeAtNanos > horizonNanos ? [] : [wakeAtNanos]
    )
    return times.length === 0 ? null : Math.min(...times)
  }

  get sleeperCount(): number {
    return this.sleepers.length
  }

  /** The guest begins to run. */
  move(): void {
    this.isMoving = true
  }

  /** The guest stops at a time: sleeps that began meanwhile count from here. Wakes none. */
  stand(nowNanos: number): void {
    this.isMoving = false
    this.now = Math.max(this.now, nowNanos)
    for (const sleeper of this.sleepers) sleeper.wakeAtNanos ??= this.now + sleeper.durationNanos
  }

  /** Wakes those whose time has come; whether there were any. */
  wakeDue(): boolean {
    const due = this.sleepers.filter(({ wakeAtNanos }) => wakeAtNanos !== null && wakeAtNanos <= this.now)
    this.sleepers = this.sleepers.filter((sleeper) => !due.includes(sleeper))
    for (const sleeper of due) sleeper.wake()
    return due.length > 0
  }
}

/** Whole nanoseconds; infinity beyond the horizon. */
const nanosOf = (duration: Duration.Duration): number =>
  Option.match(Duration.toNanos(duration), {
    onNone: () => Infinity,
    onSome: (nanos) => (nanos <= 0n ? 0 : nanos > BigInt(horizonNanos) ? Infinity : Number(nanos))
  })
