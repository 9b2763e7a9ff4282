import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { journalLaws } from "../testing/journalLaws.ts"
import { makeEventCodec } from "./EventCodec.ts"
import type { JournalError } from "./JournalErrors.ts"
import { Journal } from "./Journal.ts"

const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-journal-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const freshSqlite = Layer.unwrap(Effect.map(directory, (path) => Journal.layerSqlite({ path: join(path, "journal") })))

for (const [name, layer] of [
  ["memory", Journal.layerMemory],
  ["sqlite", freshSqlite]
] as const) {
  describe(name, () => {
    for (const { check, name } of journalLaws) {
      it.live(name, () => Effect.scoped(check).pipe(Effect.provide(Layer.fresh(layer), { local: true })))
    }
  })
}

const reasonOf = <A>(effect: Effect.Effect<A, JournalError>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason._tag)

describe("events and their versions", () => {
  const Renamed = Schema.Struct({ _tag: Schema.Literal("Renamed"), fullName: Schema.String })
  const codec = makeEventCodec<typeof Renamed.Type>({
    schema: Renamed,
    typeOf: (event) => event._tag,
    types: {
      Renamed: {
        version: 3,
        upcast: {
          1: (json) => ({ ...(json as object), name: "was missing" }),
          2: (json) => {
            const { name, ...rest } = json as { readonly name: string }
            return { ...rest, fullName: name }
          }
        }
      }
    }
  })
  const entry = (schemaVersion: number, json: unknown, type = "Renamed") => ({
    position: 1,
    stream: "s",
    version: 1,
    type,
    schemaVersion,
    json: JSON.stringify(json)
  })

  it.effect("an-old-event-is-brought-up-to-date-step-by-step", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* codec.decode(entry(1, { _tag: "Renamed" })), {
        _tag: "Renamed",
        fullName: "was missing"
      })
      assert.deepStrictEqual(yield* codec.decode(entry(2, { _tag: "Renamed", name: "n" })), {
        _tag: "Renamed",
        fullName: "n"
      })
      const record = codec.encode({ _tag: "Renamed", fullName: "f" })
      assert.strictEqual(record.schemaVersion, 3)
    })
  )

  it.effect("an-event-of-a-later-build-is-refused-by-name", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* reasonOf(codec.decode(entry(4, {}))), "EventUnknown")
      assert.strictEqual(yield* reasonOf(codec.decode(entry(1, {}, "Novelty"))), "EventUnknown")
      assert.strictEqual(yield* reasonOf(codec.decode(entry(3, { _tag: "Renamed" }))), "EventMalformed")
    })
  )
})
