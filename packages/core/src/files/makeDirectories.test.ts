import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { DurableFiles } from "./DurableFiles.ts"
import { makeDirectories } from "./makeDirectories.ts"

it.effect("a-file-in-the-place-of-a-directory-is-told-and-a-link-to-one-is-none", () =>
  Effect.gen(function* () {
    const folder = mkdtempSync(join(tmpdir(), "stillpoint-directories-"))
    yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
    const at = (name: string) => join(folder, name)
    writeFileSync(at("file"), "")
    mkdirSync(at("directory"))
    symlinkSync(at("directory"), at("link"))
    const files = yield* DurableFiles
    for (const path of [at("file"), at("file/below")]) {
      assert.deepInclude(yield* Effect.flip(makeDirectories(files, path)), { path: at("file"), code: "ENOTDIR" })
    }
    yield* makeDirectories(files, at("link/a/b"))
    assert.isTrue(statSync(at("directory/a/b")).isDirectory())
  }).pipe(Effect.scoped, Effect.provide(DurableFiles.layer))
)
