/**
 * Reports what works on this host, and what is missing.
 *
 * @module
 */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { answer, table } from "../Output.ts"
import { json } from "../arguments.ts"
import { examine } from "../doctor.ts"
import { Ended } from "../exitCode.ts"
import { workLine } from "../workLine.ts"

export const doctorCommand = Command.make("doctor", { json }, ({ json }) =>
  Effect.gen(function* () {
    const checks = yield* Effect.provide(examine, workLine(json))
    const ok = checks.every((check) => check.ok)
    yield* answer(
      json,
      { ok, checks },
      table(checks.map(({ detail, name, ok }) => [ok ? "ok" : "MISSING", name, detail]))
    )
    if (!ok) return yield* Effect.fail(new Ended(1))
  })
).pipe(Command.withDescription("Check what works on this host and what is missing"))
