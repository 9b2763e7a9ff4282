/**
 * A guest's events as RxJS observables: four questions about one boot, answered while it runs. Times are guest time.
 *
 * `node --conditions=stillpoint-source main.ts`
 *
 * @module
 */
import { guestObservables, guestTimeInWords, Vmm } from "@stillpoint/core"
import { GuestKit } from "@stillpoint/kit"
import { Effect } from "effect"
import { count, map, pairwise, reduce, takeUntil, zip } from "rxjs"
import { asProgram, inStoreOfItsOwn, say } from "../asProgram.ts"

const program = Effect.gen(function* () {
  const kit = yield* GuestKit
  const guest = yield* kit.guest({ workload: { argv: ["/bin/httpd", "-f", "-p", "8080", "-h", "/"] } })
  const machine = yield* Vmm.use((vmm) => vmm.boot(guest))
  const { listener$, pagesDirtied$, preExec$, serial$ } = guestObservables(machine.events$)

  // The guest executes nothing before it is run, so no event is missed.
  const booting$ = serial$.pipe(takeUntil(preExec$))
  booting$.pipe(count()).subscribe((lines) => say(`the kernel wrote ${lines} lines`))
  booting$
    .pipe(
      pairwise(),
      map(([earlier, later]) => ({ nanos: later.atNanos - earlier.atNanos, line: earlier.text })),
      reduce((longest, silence) => (silence.nanos > longest.nanos ? silence : longest))
    )
    .subscribe(({ line, nanos }) => say(`it was silent longest, ${guestTimeInWords(nanos)}, after: ${line}`))
  pagesDirtied$
    .pipe(
      takeUntil(listener$),
      reduce((sum, { count }) => sum + count, 0)
    )
    .subscribe((pages) => say(`until it listens, the guest writes ${pages} pages`))
  zip(preExec$, listener$).subscribe(([started, listening]) =>
    say(`port ${listening.port} is bound ${guestTimeInWords(listening.atNanos - started.atNanos)} after the start`)
  )

  yield* machine.run({ kinds: ["ListenerBound"] })
})

await asProgram(inStoreOfItsOwn("events", program))
