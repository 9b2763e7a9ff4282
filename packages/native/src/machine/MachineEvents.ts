/**
 * A machine's events as hot observables over the log that the core keeps.
 *
 * @module
 */
import { type GuestEvent, MachineError, type MachineFailureReason } from "@stillpoint/core"
import { Effect } from "effect"
import { Observable, Subject, type Subscriber } from "rxjs"
import type { EventBatch, Failure } from "../binding/Addon.ts"
import { decodeEvents } from "../binding/decodeEvents.ts"
import { reasonOf } from "./reasonOf.ts"

/** The log of a machine, as the core offers it: read by position, with a call when there is more. */
export interface EncodedLog {
  readonly readEvents: (fromSeq: number, maxBytes: number) => Failure | EventBatch
  /** Calls `wake` when something was appended after a read that found nothing. */
  readonly onEvents: (wake: () => void) => void
  /** Sequence number that the next event will have. */
  readonly nextSeq: () => number
  /** Sequence number of the oldest event that the log still holds. */
  readonly oldestSeq: () => number
  /** Follows the log: the guest waits where it would say much more than has been read. */
  readonly follow: (seq: number) => number
  /** A follower has read everything before `seq`. */
  readonly followed: (follower: number, seq: number) => void
  readonly unfollow: (follower: number) => void
}

/**
 * Encoded bytes that are decoded before the event loop gets its turn: some thousand events, a few milliseconds.
 */
const turnBytes = 128 * 1024

/**
 * A read that returns less has reached the end of the log. An immediate further read would find an event or two, or nothing, and
 * make the guest's thread wake this one for the next: each costs the guest microseconds. After a rest, all events since then come
 * together; only the first event after a calm needs a wake-up.
 */
const fullBytes = turnBytes / 2

/** Time for which live subscribers rest when they have read everything. */
const restMillis = 1

const isFailure = (value: Failure | EventBatch): value is Failure => "failed" in value

/** Lets timers, sockets and other machines have their turn. */
const nextTurn = (continueWith: () => void): void => {
  setImmediate(continueWith)
}

const afterTurn = Effect.callback<void>((resume) => nextTurn(() => resume(Effect.void)))

/**
 * Distributes a log's events to any number of subscribers.
 *
 * Each subscriber first reads the log at its own pace from its starting point, and joins the live ones when it has caught up, so
 * it sees every event once and in order. Events are decoded once for all live subscribers, and not at all without any. No event
 * is lost on the way: if a guest is faster than this event loop, it waits between two instructions, without noticing. Asking for
 * events that the log has dropped because no subscriber wanted them fails with `EventsLost`.
 */
export class MachineEvents {
  readonly #log: EncodedLog
  #live = new Subject<GuestEvent>()
  /** Sequence number of the next event that live subscribers get. */
  #next = 0
  #liveCount = 0
  /** The number that live subscribers go by in the log. */
  #follower: number | null = null
  #isListening = false
  #isPumping = false
  #isResting = false
  #drained: Array<() => void> = []

  constructor(log: EncodedLog) {
    this.#log = log
  }

  /** Every event of this machine's own log, then live; completes when the machine is closed. */
  readonly all$: Observable<GuestEvent> = new Observable((subscriber) =>
    this.#catchUp(subscriber, this.#log.oldestSeq())
  )

  /** Events from `seq` on, then live. */
  from(seq: number): Observable<GuestEvent> {
    return new Observable((subscriber) => this.#catchUp(subscriber, seq))
  }

  /** The events up to now, from `seq` on, at most `most`. Many are decoded a piece at a time; the event loop gets its turn in between. */
  soFar(seq: number, most = Infinity): Effect.Effect<ReadonlyArray<GuestEvent>, MachineError> {
    return Effect.suspend(() => {
      const events: Array<GuestEvent> = []
      const end = Math.min(this.#log.nextSeq(), seq + most)
      let next = seq
      const more: Effect.Effect<ReadonlyArray<GuestEvent>, MachineError> = Effect.suspend(() => {
        const batch = this.#log.readEvents(next, turnBytes)
        if (isFailure(batch)) return Effect.fail(lost(batch))
        const count = Math.min(batch.count, Math.max(0, end - next))
        decodeEvents(batch.bytes, batch.firstSeq, count, (event) => events.push(event))
        next = batch.firstSeq + count
        return count === 0 || next >= end ? Effect.succeed(events) : Effect.andThen(afterTurn, more)
      })
      return more
    })
  }

  /** Resolves once live subscribers have been given everything that is in the log now. */
  settled(): Promise<void> {
    if (this.#liveCount === 0) return Promise.resolve()
    const target = this.#log.nextSeq()
    this.#pump()
    if (this.#liveCount === 0 || this.#next >= target) return Promise.resolve()
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#liveCount === 0 || this.#next >= target) resolve()
        else this.#drained.push(look)
      }
      this.#drained.push(look)
    })
  }

  #catchUp(subscriber: Subscriber<GuestEvent>, from: number): void {
    let cursor = from
    const follower = this.#log.follow(cursor)
    subscriber.add(() => this.#log.unfollow(follower))
    const advance = (): void => {
      if (subscriber.closed) return
      if (this.#liveCount > 0 && cursor === this.#next) return join()
      const batch = this.#log.readEvents(cursor, turnBytes)
      if (isFailure(batch)) return subscriber.error(lost(batch))
      // Not beyond the live subscribers: from there on their events are this one's too.
      const count = this.#liveCount > 0 ? Math.min(batch.count, Math.max(0, this.#next - cursor)) : batch.count
      cursor = batch.firstSeq + count
      decodeEvents(batch.bytes, batch.firstSeq, count, (event) => subscriber.next(event))
      if (subscriber.closed) return
      this.#log.followed(follower, cursor)
      if (batch.count === 0 && batch.ended) return subscriber.complete()
      if (batch.count === 0 && this.#liveCount === 0) {
        this.#next = cursor
        return join()
      }
      if (this.#liveCount > 0 && cursor === this.#next) return join()
      nextTurn(advance)
    }
    const join = (): void => {
      this.#join(subscriber)
      this.#log.unfollow(follower)
    }
    advance()
  }

  #join(subscriber: Subscriber<GuestEvent>): void {
    this.#liveCount += 1
    this.#follower ??= this.#log.follow(this.#next)
    subscriber.add(this.#live.subscribe(subscriber))
    subscriber.add(() => {
      this.#liveCount -= 1
      if (this.#liveCount > 0 || this.#follower === null) return
      this.#log.unfollow(this.#follower)
      this.#follower = null
    })
    this.#listen()
    this.#pump()
  }

  #listen(): void {
    if (this.#isListening) return
    this.#isListening = true
    // The core holds on to this function for as long as the machine lives; it must not keep the machine alive itself.
    const weak = new WeakRef(this)
    this.#log.onEvents(() => {
      const events = weak.deref()
      if (events !== undefined) events.#pump()
    })
  }

  #pump(): void {
    if (this.#isPumping || this.#liveCount === 0) return this.#release()
    this.#isPumping = true
    try {
      const batch = this.#log.readEvents(this.#next, turnBytes)
      if (isFailure(batch)) {
        // A later subscriber begins at the oldest event in the log.
        const behind = this.#live
        this.#live = new Subject()
        behind.error(lost(batch))
        return
      }
      decodeEvents(batch.bytes, batch.firstSeq, batch.count, (event) => {
        this.#next = event.seq + 1
        this.#live.next(event)
      })
      if (this.#follower !== null) this.#log.followed(this.#follower, this.#next)
      if (batch.bytes.length >= fullBytes) nextTurn(() => this.#pump())
      else if (batch.count > 0) this.#rest()
      else if (batch.ended) this.#live.complete()
    } finally {
      this.#isPumping = false
      this.#release()
    }
  }

  #rest(): void {
    if (this.#isResting) return
    this.#isResting = true
    setTimeout(() => {
      this.#isResting = false
      this.#pump()
    }, restMillis)
  }

  #release(): void {
    const waiting = this.#drained
    this.#drained = []
    for (const look of waiting) look()
  }
}

const lost = (failure: Failure): MachineError => new MachineError({ reason: reasonOf<MachineFailureReason>(failure) })
