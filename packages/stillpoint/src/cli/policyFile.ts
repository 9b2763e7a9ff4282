/**
 * Policies from files: what `--at ./policy.ts` means.
 *
 * ```ts
 * import { onListener, quiesce } from "@stillpoint/triggers"
 *
 * export default quiesce(onListener({ port: 8080 }), { calmFor: "20 millis" })
 * ```
 *
 * Or a function, which is given the exports of `@stillpoint/triggers`, so that the file needs nothing installed beside it:
 *
 * ```ts
 * export default ({ onListener }) => onListener({ port: 8080 })
 * ```
 *
 * A file of JSON (`--at ./policy.json`) holds the policy as it is also given inline. Any other file is code that runs here: only the command line reads one, never `captureAt` of a program.
 *
 * @module
 */
import { readFile, stat } from "node:fs/promises"
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { codeOf, describeValue } from "@stillpoint/core"
import * as triggers from "@stillpoint/triggers"
import { Effect, Schema } from "effect"
import type { Moment } from "../sandbox/readMoment.ts"
import { namesPolicyFile } from "./namesPolicyFile.ts"

/** Largest file that is loaded, bytes: a program is held in memory as a whole. */
const mostBytes = 16 << 20

const isNothing = (cause: unknown): boolean => ["ENOENT", "ENOTDIR"].includes(codeOf(cause))

const wanted = "a policy of @stillpoint/triggers, or a function that returns one, as its default export"

/** A file that was named as a policy has none. */
export class PolicyFileInvalid extends Schema.TaggedError<PolicyFileInvalid>()("PolicyFileInvalid", {
  path: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.path}: expected ${this.expected}; found ${this.found}`
  }
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : describeValue(cause))

/** Recognises a policy by its fields, since it may come from another copy of the library. */
const looksLikePolicy = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "shape" in value && "description" in value

/** The moment that a value of `--at` means: the policy of a file, else the text as it is. */
export const momentOf = Effect.fn("momentOf")(function* (at: string) {
  if (!namesPolicyFile(at)) return at satisfies Moment
  const invalid = (found: string, expected = wanted) => new PolicyFileInvalid({ path: at, expected, found })
  const path = resolve(at)
  const found = yield* Effect.tryPromise({
    try: () => stat(path),
    catch: (cause) => invalid(isNothing(cause) ? "no such file" : `that it cannot be read: ${codeOf(cause)}`)
  })
  // Node waits for a pipe, and reads a device to its end, which it has not.
  if (!found.isFile()) return yield* invalid("no regular file")
  if (found.size > mostBytes) return yield* invalid(`${found.size} bytes`, `a program of at most ${mostBytes} bytes`)
  const attempt = <A>(what: string, work: () => Promise<A>) =>
    Effect.tryPromise({ try: work, catch: (cause) => invalid(`${what}: ${messageOf(cause)}`) })
  if (path.endsWith(".json")) {
    const text = yield* attempt("that it cannot be read", () => readFile(path, "utf8"))
    // Anything but an object would be read as an expression.
    if (!/^\s*\{/.test(text))
      return yield* invalid(`no JSON object: ${describeValue(text.slice(0, 40))}`, "a policy as JSON")
    return text satisfies Moment
  }
  const loaded = yield* attempt(
    "that it cannot be loaded",
    () => import(pathToFileURL(path).href) as Promise<Record<string, unknown>>
  )
  if (!("default" in loaded)) {
    const names = Object.keys(loaded)
    return yield* invalid(names.length === 0 ? "no exports" : `no default export, only ${names.join(", ")}`)
  }
  const exported = loaded["default"]
  const policy: unknown =
    typeof exported === "function"
      ? yield* attempt("that its function threw", async () => (exported as (all: typeof triggers) => unknown)(triggers))
      : exported
  if (policy instanceof triggers.Policy) return policy satisfies Moment
  const by = typeof exported === "function" ? "a function that returns " : ""
  if (looksLikePolicy(policy)) {
    return yield* invalid(
      `${by}a policy of another copy of @stillpoint/triggers`,
      "a policy of the copy that stillpoint uses: export a function, which receives the exports of that copy"
    )
  }
  return yield* invalid(`${by}${describeValue(policy)}`)
})
