/** Packages of addons that were built elsewhere: what they hold, and what is refused. */
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { builtAddon, hostPlatform } from "../../packages/native/src/binding/addonFiles.ts"
import { addonKind } from "./addonFormat.ts"
import { packAddon, readAddons } from "./pack.ts"

const folder = mkdtempSync(join(tmpdir(), "stillpoint-addons-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The head of a Mach-O file for a processor. */
const mach = (name: string, processor: number, type = 8): string => {
  const head = Buffer.alloc(32)
  for (const [at, value] of [0xfeed_facf, processor, 0, type].entries()) head.writeUInt32LE(value, at * 4)
  const path = join(folder, name)
  writeFileSync(path, head)
  return path
}
const arm = mach("arm64.node", 0x0100_000c)
const intel = mach("x64.node", 0x0100_0007, 6)

describe("an addon that was built elsewhere", () => {
  it.skipIf(!existsSync(builtAddon))("is-told-by-its-header", () => {
    assert.strictEqual(addonKind(arm), "darwin-arm64")
    assert.strictEqual(addonKind(intel), "darwin-x64")
    assert.strictEqual(addonKind(mach("program", 0x0100_000c, 2)), "a Mach-O file that is no addon of x64 or arm64")
    assert.isTrue(hostPlatform().startsWith(addonKind(builtAddon)))
  })

  it("is-refused-for-another-platform-than-its-own", () => {
    assert.deepStrictEqual([...readAddons([`darwin-arm64=${arm}`])], [["darwin-arm64", arm]])
    assert.throws(() => readAddons([`darwin-arm64=${intel}`]), "expected in")
    assert.throws(() => readAddons([`linux-arm64-gnu=${arm}`]), "an addon of linux-arm64-gnu, found darwin-arm64")
    for (const text of ["darwin-arm64", "darwin-arm64=", `win32-x64=${arm}`, arm]) {
      assert.throws(() => readAddons([text]), "expected PLATFORM=FILE")
    }
  })

  it("of-macos-is-packed-for-its-system-and-processor-alone", () => {
    const tarball = packAddon("darwin-arm64", folder, arm)
    execFileSync("tar", ["-xzf", tarball, "-C", folder])
    const text = execFileSync("tar", ["-xzOf", tarball, "package/package.json"], { encoding: "utf8" })
    const { cpu, libc, main, name, os } = JSON.parse(text) as Readonly<Record<string, unknown>>
    assert.deepStrictEqual(
      { cpu, libc, main, name, os },
      {
        cpu: ["arm64"],
        libc: undefined,
        main: "stillpoint.darwin-arm64.node",
        name: "@stillpoint/native-darwin-arm64",
        os: ["darwin"]
      }
    )
    assert.strictEqual(addonKind(join(folder, "package/stillpoint.darwin-arm64.node")), "darwin-arm64")
  })
})
