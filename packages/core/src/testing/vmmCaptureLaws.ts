/**
 * The laws of every {@link Vmm} about captures, deltas and restores.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import { Effect, Exit, Scope } from "effect"
import type { MachineError } from "../MachineErrors.ts"
import { type CapturedFiles, type Machine, type MachineStop, Vmm } from "../Vmm.ts"
import type { Law } from "./Law.ts"
import type { VmmSubject } from "./VmmSubject.ts"

/** A capture on top of those before it. */
interface Link {
  readonly directory: string
  readonly captured: CapturedFiles
  /** Digest of the machine that was captured. */
  readonly digest: string
}

/** Deltas on a full capture. */
const deltas = 4

/** The laws, for a `boot` and a run `toKind` that the subject describes. */
export const captureLaws = <R>(
  subject: VmmSubject<R>,
  boot: Effect.Effect<Machine, unknown, Vmm | R | Scope.Scope>,
  toKind: (machine: Machine) => Effect.Effect<MachineStop, MachineError>
): ReadonlyArray<Law<Vmm | R>> => {
  const { directory: fresh, forks } = subject
  if (fresh === null) {
    return [
      {
        name: "a-capture-is-refused-by-its-typed-error",
        check: Effect.gen(function* () {
          const machine = yield* boot
          assert.equal((yield* Effect.flip(machine.capture("/nowhere")))._tag, "CaptureError")
        })
      }
    ]
  }

  const take = Effect.fnUntraced(function* (machine: Machine, parent?: Link) {
    const directory = yield* fresh
    const captured = yield* machine.capture(directory, parent === undefined ? {} : { parent: parent.captured.identity })
    return { directory, captured, digest: yield* machine.digest } satisfies Link
  })
  const restore = Effect.fnUntraced(function* (links: ReadonlyArray<Link>) {
    const [newest, ...parents] = links.toReversed()
    return yield* (yield* Vmm).restore(newest?.directory ?? "", {
      ...(newest === undefined ? {} : { identity: newest.captured.identity }),
      parents: parents.map(({ directory }) => directory)
    })
  })
  const step = Effect.fnUntraced(function* (machine: Machine) {
    yield* machine.run({ budgetNanos: Math.max(1, Math.floor((yield* machine.nowNanos) / 20)) })
  })
  /** A full capture at the event, and deltas as the guest continues, the newest last. */
  const chainOf = Effect.fnUntraced(function* (machine: Machine) {
    yield* toKind(machine)
    const links = [yield* take(machine)]
    for (let index = 0; index < deltas; index++) {
      yield* step(machine)
      links.push(yield* take(machine, links.at(-1)))
    }
    return links
  })
  const refusalOf = Effect.fnUntraced(function* (links: ReadonlyArray<Link>) {
    return (yield* Effect.flip(Effect.scoped(restore(links)))).reason
  })

  return [
    {
      name: "a-restored-machine-stands-where-it-was-captured-and-goes-on-as-the-captured-one-does",
      check: Effect.gen(function* () {
        const machine = yield* boot
        const { atNanos, seq } = yield* toKind(machine)
        const link = yield* take(machine)
        assert.equal(link.captured.atNanos, atNanos)
        assert.equal(link.captured.seq, seq)
        assert.equal(link.captured.parent, null)
        const activity = yield* machine.activity
        const restored = yield* restore([link])
        assert.equal(yield* restored.nowNanos, atNanos)
        assert.deepEqual(restored.beginning, activity)
        assert.deepEqual(yield* restored.eventsSoFar(), [])
        assert.equal(yield* restored.digest, link.digest)
        const until = { budgetNanos: Math.max(1, Math.floor(atNanos / 10)) }
        const stops = [yield* machine.run(until), yield* restored.run(until)]
        const after = (seq ?? -1) + 1
        assert.equal((yield* restored.eventsSoFar()).at(0)?.seq ?? after, after)
        if (!machine.isDeterministic) return
        assert.deepEqual(stops[1], stops[0])
        assert.deepEqual(yield* restored.eventsSoFar(), yield* machine.eventsSoFar(after))
        assert.equal(yield* restored.digest, yield* machine.digest)
      })
    },
    {
      name: "a-restored-machine-knows-what-listens-in-its-guest",
      check: Effect.gen(function* () {
        const machine = yield* boot
        yield* toKind(machine)
        // A guest that never listens says nothing about this.
        const bound = yield* machine.run({ kinds: ["ListenerBound"], budgetNanos: subject.withinNanos })
        const link = yield* take(machine)
        const { openListeners } = yield* machine.activity
        assert.equal(openListeners.length > 0, bound.reason === "event")
        const restored = yield* restore([link])
        assert.deepEqual(restored.beginning.openListeners, openListeners)
        assert.deepEqual((yield* restored.activity).openListeners, openListeners)
      })
    },
    {
      name: "a-capture-does-not-disturb-its-machine",
      check: Effect.gen(function* () {
        const machine = yield* boot
        yield* toKind(machine)
        const before = { events: yield* machine.eventsSoFar(), digest: yield* machine.digest }
        yield* take(machine)
        assert.deepEqual({ events: yield* machine.eventsSoFar(), digest: yield* machine.digest }, before)
      })
    },
    {
      name: "a-chain-of-deltas-gives-the-machine-that-a-full-capture-gives",
      check: Effect.gen(function* () {
        const links = yield* chainOf(yield* boot)
        for (const [index, { captured, digest }] of links.entries()) {
          assert.equal(captured.parent, links[index - 1]?.captured.identity ?? null)
          const restored = yield* restore(links.slice(0, index + 1))
          assert.equal(yield* restored.digest, digest)
          // The chain as one: the same machine again.
          const whole = yield* take(restored)
          assert.equal(whole.captured.parent, null)
          assert.equal(yield* (yield* restore([whole])).digest, digest)
        }
      })
    },
    {
      name: "a-restored-machine-is-captured-against-what-it-was-restored-from",
      check: Effect.gen(function* () {
        const machine = yield* boot
        yield* toKind(machine)
        const base = yield* take(machine)
        const restored = yield* restore([base])
        yield* step(restored)
        const delta = yield* take(restored, base)
        assert.equal(yield* (yield* restore([base, delta])).digest, delta.digest)
      })
    },
    {
      name: forks ? "a-machine-is-captured-against-what-its-forks-were" : "a-delta-to-anything-else-is-refused-by-name",
      check: Effect.gen(function* () {
        const machine = yield* boot
        yield* toKind(machine)
        const links: Array<Link> = []
        if (forks) {
          for (let index = 0; index < deltas; index++) {
            const scope = yield* Scope.make()
            const fork = yield* Scope.provide(machine.fork, scope)
            yield* step(fork)
            links.push(yield* take(fork, links.at(-1)))
            yield* Scope.close(scope, Exit.void)
            yield* step(machine)
          }
          links.push(yield* take(machine, links.at(-1)))
          assert.equal(yield* (yield* restore(links)).digest, yield* machine.digest)
        }
        const unknown = yield* Effect.flip(machine.capture(yield* fresh, { parent: "0".repeat(64) }))
        assert.equal(unknown.reason._tag, "ParentUnknown")
      })
    },
    {
      name: "a-chain-with-a-link-missing-or-another-one-in-its-place-is-refused-by-name",
      check: Effect.gen(function* () {
        const links = yield* chainOf(yield* boot)
        assert.equal((yield* refusalOf(links.slice(1)))._tag, "ParentMissing")
        assert.equal((yield* refusalOf(links.slice(-1)))._tag, "ParentMissing")
        assert.equal((yield* refusalOf(links.toSpliced(1, 1)))._tag, "ParentMismatch")
        const other = yield* chainOf(yield* boot)
        yield* step(yield* restore(other))
        const [first, second, ...rest] = links
        if (first === undefined || second === undefined) return assert.fail("a link is missing")
        assert.equal((yield* refusalOf([second, first, ...rest]))._tag, "ParentMismatch")
        // A full capture has no parents, and nothing is another capture than it is.
        const reason = (yield* Effect.flip(
          Effect.scoped((yield* Vmm).restore(first.directory, { parents: [second.directory] }))
        )).reason
        assert.equal(reason._tag, "ParentMismatch")
        const identity = second.captured.identity
        const swapped = yield* Effect.flip(Effect.scoped((yield* Vmm).restore(first.directory, { identity })))
        assert.equal(swapped.reason._tag, "IdMismatch")
        assert.ok(swapped.message.includes(first.directory))
      })
    }
  ]
}
