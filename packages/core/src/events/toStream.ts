/**
 * The one way from RxJS to Effect: a guest's observables as streams.
 *
 * RxJS pushes and does not wait; Effect pulls. An {@link Overflow}, named at every crossing, decides what happens when values
 * come faster than they are taken: no loss goes unnoticed, and the guest is never held up.
 *
 * @module
 */
import { Cause, Effect, Queue, Schema, Stream } from "effect"
import type { Observable } from "rxjs"

/** The treatment of values that come faster than they are taken. */
export type Overflow =
  /** Keep everything: memory grows with the lag. For consumers that must see all. */
  | { readonly policy: "keepAll" }
  /** Keeps the newest `capacity`; calls `onLoss` with the number of lost values so far at each loss. For displays. */
  | { readonly policy: "dropOldest"; readonly capacity: number; readonly onLoss: (lostSoFar: number) => void }
  /** Keep the oldest `capacity`; `onLoss` as above. For samples. */
  | { readonly policy: "dropNewest"; readonly capacity: number; readonly onLoss: (lostSoFar: number) => void }
  /** Keep `capacity`, and fail the stream, after these, when that is not enough. For consumers that would rather stop. */
  | { readonly policy: "fail"; readonly capacity: number }

/** A subscriber fell behind by more than its overflow policy allows. */
export class SubscriberTooSlow extends Schema.TaggedError<SubscriberTooSlow>()("SubscriberTooSlow", {
  capacity: Schema.Natural
}) {
  override get message(): string {
    return `the subscriber fell more than ${this.capacity} values behind; take faster, or choose another overflow policy`
  }
}

/** An observable ended with an error. */
export class SourceFailed extends Schema.TaggedError<SourceFailed>()("SourceFailed", { cause: Schema.Defect() }) {
  override get message(): string {
    return `the observable failed: ${String(this.cause)}`
  }
}

const accept = <A>(queue: Queue.Queue<A, SourceFailed | SubscriberTooSlow | Cause.Done>, overflow: Overflow) => {
  let lost = 0
  const lose = (onLoss: (lostSoFar: number) => void): void => {
    lost += 1
    onLoss(lost)
  }
  return (value: A): void => {
    switch (overflow.policy) {
      case "keepAll":
        Queue.offerUnsafe(queue, value)
        return
      case "dropOldest":
        if (Queue.sizeUnsafe(queue) >= overflow.capacity) lose(overflow.onLoss)
        Queue.offerUnsafe(queue, value)
        return
      case "dropNewest":
        if (!Queue.offerUnsafe(queue, value)) lose(overflow.onLoss)
        return
      case "fail":
        if (Queue.sizeUnsafe(queue) >= overflow.capacity) {
          Queue.failCauseUnsafe(queue, Cause.fail(new SubscriberTooSlow({ capacity: overflow.capacity })))
        } else Queue.offerUnsafe(queue, value)
    }
  }
}

const bufferOf = (overflow: Overflow): { readonly bufferSize?: number; readonly strategy?: "sliding" | "dropping" } =>
  overflow.policy === "dropOldest"
    ? { bufferSize: overflow.capacity, strategy: "sliding" }
    : overflow.policy === "dropNewest"
      ? { bufferSize: overflow.capacity, strategy: "dropping" }
      : {}

/**
 * An observable as a stream. Subscribes when the stream is run, unsubscribes when it ends.
 *
 * @example
 * ```ts
 * import { toStream } from "@stillpoint/core"
 * import { Effect, Stream } from "effect"
 * import { of } from "rxjs"
 *
 * const values = toStream(of(1, 2, 3), { policy: "keepAll" })
 * console.log(await Effect.runPromise(Stream.runCollect(values))) // [ 1, 2, 3 ]
 * ```
 */
export const toStream = <A>(
  source: Observable<A>,
  overflow: Overflow
): Stream.Stream<A, SourceFailed | SubscriberTooSlow> =>
  Stream.callback<A, SourceFailed | SubscriberTooSlow>(
    (queue) =>
      Effect.acquireRelease(
        Effect.sync(() =>
          source.subscribe({
            next: accept(queue, overflow),
            error: (cause) => {
              Queue.failCauseUnsafe(queue, Cause.fail(new SourceFailed({ cause })))
            },
            complete: () => {
              Queue.endUnsafe(queue)
            }
          })
        ),
        (subscription) => Effect.sync(() => subscription.unsubscribe())
      ),
    bufferOf(overflow)
  )
