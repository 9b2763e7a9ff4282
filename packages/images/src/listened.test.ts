import { assert, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { listened } from "./listened.ts"

it.effect("what-a-listener-throws-is-a-defect-of-who-asked-and-it-is-called-no-more", () =>
  Effect.gen(function* () {
    const told: Array<number> = []
    const { end, tell } = listened((progress: number) => {
      told.push(progress)
      if (progress === 2) throw new Error("two")
    })
    tell(1)
    assert.isTrue(Exit.isSuccess(yield* Effect.exit(end)))
    for (const progress of [2, 3]) tell(progress)
    assert.deepStrictEqual(told, [1, 2])
    assert.strictEqual((yield* Effect.exit(end)).toString().includes("two"), true)
  })
)
