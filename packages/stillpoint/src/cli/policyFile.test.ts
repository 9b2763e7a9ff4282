import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, it } from "@effect/vitest"
import { Policy } from "@stillpoint/triggers"
import { Effect } from "effect"
import { afterAll, assert } from "vitest"
import { exitCodeOf } from "./exitCode.ts"
import { momentOf } from "./policyFile.ts"

const folder = mkdtempSync(join(tmpdir(), "stillpoint policies é "))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let next = 0
const fileOf = (text: string, extension = "ts"): string => {
  const path = join(folder, `policy-${next++}.${extension}`)
  writeFileSync(path, text)
  return path
}

describe("a policy from a file", () => {
  for (const [what, text] of [
    ["of-a-function-with-types", "export default ({ onListener }: any) => onListener({ port: 8080 as number })"],
    ["of-a-function-that-takes-its-time", "export default async ({ onListener }) => onListener({ port: 8080 })"]
  ] as const) {
    it.effect(`is-that-${what}`, () =>
      Effect.gen(function* () {
        const policy = yield* momentOf(fileOf(text))
        assert.instanceOf(policy, Policy)
        assert.strictEqual(String(policy), "onListener(port 8080)")
      })
    )
  }

  it.effect("of-json-is-what-its-text-says", () =>
    Effect.gen(function* () {
      const text = '{ "_tag": "OnIdle" }\n'
      assert.strictEqual(yield* momentOf(fileOf(text, "json")), text)
      for (const other of ["idle", "", "[1]"]) {
        const error = yield* Effect.flip(momentOf(fileOf(other, "json")))
        assert.deepInclude(error, { _tag: "PolicyFileInvalid", expected: "a policy as JSON" })
      }
    })
  )

  it.effect("is-never-taken-for-an-expression-nor-an-expression-for-a-file", () =>
    Effect.gen(function* () {
      for (const text of [
        "listener:8080 & calm 20ms | after 10s",
        "pre-exec",
        '{"_tag":"OnIdle"}',
        'serial "a.ts" | after 2s'
      ]) {
        assert.strictEqual(yield* momentOf(text), text)
      }
      for (const path of [
        "./policy.ts",
        "../policy",
        "/tmp/nowhere",
        "policy.ts",
        "policies/policy.mjs",
        "policy.json"
      ]) {
        const { found } = yield* Effect.flip(momentOf(path))
        assert.strictEqual(found, "no such file")
      }
    })
  )

  it.effect("that-is-no-file-is-refused-and-waited-for-by-nobody", () =>
    Effect.gen(function* () {
      const pipe = join(folder, "pipe.mjs")
      assert.strictEqual(spawnSync("mkfifo", [pipe]).status, 0)
      for (const path of [pipe, "/dev/zero", folder]) {
        const { found } = yield* Effect.flip(momentOf(path))
        assert.strictEqual(found, "no regular file")
      }
      const loop = join(folder, "loop.mjs")
      symlinkSync(loop, loop)
      assert.strictEqual((yield* Effect.flip(momentOf(loop))).found, "that it cannot be read: ELOOP")
      const large = fileOf("", "mjs")
      truncateSync(large, 2 ** 30)
      assert.strictEqual((yield* Effect.flip(momentOf(large))).found, `${2 ** 30} bytes`)
    })
  )

  for (const [what, says, text] of [
    ["has-no-exports", /found no exports$/, "const policy = 1"],
    ["exports-it-by-a-name", /found no default export, only policy, other$/, "export const policy = 1, other = 2"],
    ["exports-something-else", /found \{"port":8080\}$/, "export default { port: 8080 }"],
    ["returns-something-else", /found a function that returns undefined$/, "export default () => undefined"],
    ["throws", /found that its function threw: no idea$/, `export default () => { throw new Error("no idea") }`],
    ["throws-while-loaded", /found that it cannot be loaded: gone$/, `throw new Error("gone")`],
    ["is-no-program", /found that it cannot be loaded: /, "export default ("],
    ["needs-what-is-not-there", /found that it cannot be loaded: .*nowhere/, `export * from "nowhere"`],
    [
      "gives-wrong-arguments",
      /its function threw: .*port/,
      "export default ({ onListener }) => onListener({ port: -1 })"
    ],
    ["has-a-policy-of-another-copy", /another copy .*$/, `export default { shape: {}, description: {} }`]
  ] as const) {
    it.effect(`a-file-that-${what}-is-refused-by-what-was-expected-and-found`, () =>
      Effect.gen(function* () {
        const path = fileOf(text, "mjs")
        const error = yield* Effect.flip(momentOf(path))
        assert.match(error.message, says)
        assert.isTrue(error.message.startsWith(`${path}: expected a policy of `))
        assert.strictEqual(exitCodeOf(error), 2)
      })
    )
  }
})
