import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, describe, it } from "vitest"
import { bundled } from "./bundled.ts"

const cache = fileURLToPath(new URL("../../.cache", import.meta.url))
mkdirSync(cache, { recursive: true })
const folder = mkdtempSync(join(cache, "program-"))
const program = join(folder, "main.ts")

/** Where the bundles of a program are. */
const kept = join(cache, "bundled", `.cache-${basename(folder)}-main.ts`)
afterAll(() => [folder, kept].forEach((path) => rmSync(path, { recursive: true, force: true })))

const write = (name: string, text: string): void => writeFileSync(join(folder, name), text)
const said = (path: string): string => execFileSync(process.execPath, [path], { encoding: "utf8" })

describe("a bundle", () => {
  it("is-taken-again-until-a-module-that-went-into-it-says-something-else", async () => {
    write("main.ts", `import { word } from "./barrel.ts"\nconsole.log(word)\n`)
    write("barrel.ts", `export { word } from "./first.ts"\n`)
    write("first.ts", `export const word: string = "first"\n`)
    write("second.ts", `export const word: string = "second"\n`)
    const first = await bundled(program)
    assert.strictEqual(dirname(dirname(first)), kept)
    assert.strictEqual(said(first), "first\n")
    // Written anew with the same words: what counts is what a module says.
    write("first.ts", `export const word: string = "first"\n`)
    assert.strictEqual(await bundled(program), first)
    // Of a module that only leads to another nothing is in the bundle.
    write("barrel.ts", `export { word } from "./second.ts"\n`)
    const second = await bundled(program)
    assert.notStrictEqual(second, first)
    assert.strictEqual(said(second), "second\n")
    write("barrel.ts", `export { word } from "./first.ts"\n`)
    assert.strictEqual(await bundled(program), first)
    rmSync(join(folder, "first.ts"))
    write("barrel.ts", `export { word } from "./second.ts"\n`)
    assert.strictEqual(await bundled(program), second)
  })
})
