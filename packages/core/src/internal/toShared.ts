/**
 * The way from streams that are pulled to observables.
 *
 * @module
 */
import { Cause, Effect, Stream } from "effect"
import { Observable, share } from "rxjs"

/** A stream as an observable that is pulled while it has subscribers. */
export const toShared = <A, E>(stream: Stream.Stream<A, E>): Observable<A> =>
  new Observable<A>((subscriber) => {
    const fiber = Effect.runFork(Stream.runForEach(stream, (chunk) => Effect.sync(() => subscriber.next(chunk))))
    fiber.addObserver((exit) => {
      if (exit._tag === "Success") subscriber.complete()
      else if (!Cause.hasInterruptsOnly(exit.cause)) subscriber.error(Cause.squash(exit.cause))
    })
    return () => fiber.interruptUnsafe()
  }).pipe(share())
