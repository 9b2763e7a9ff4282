import { assert, it } from "@effect/vitest"
import * as fc from "fast-check"
import { spawnSync } from "node:child_process"
import { compareDebianVersions } from "./debianVersion.ts"

/** Each is older than the next. */
const ascending = [
  "1.0~~-1",
  "1.0~rc1-1",
  "1.0-1",
  "1.0-1+b1",
  "1.0-1+b9",
  "1.0-1+b10",
  "1.0a-1",
  "1.0+deb13-1",
  "1.0.1-1",
  "1.2-1",
  "1.10-1",
  "6.12.94-1",
  "6.12.107-1",
  "6.12.107-2",
  "1:0.1-1"
]

it("the-documented-order-holds-for-every-pair", () => {
  for (const [i, a] of ascending.entries()) {
    for (const [j, b] of ascending.entries()) {
      assert.strictEqual(compareDebianVersions(a, b), Math.sign(i - j) + 0, `${a} against ${b}`)
    }
  }
})

const part = fc.stringMatching(/^[0-9][0-9a-zA-Z.+~]{0,8}$/)
const version = fc
  .tuple(fc.option(fc.nat(3), { nil: undefined }), part, fc.option(part, { nil: undefined }))
  .map(([epoch, upstream, revision]) => {
    return `${epoch === undefined ? "" : `${epoch}:`}${upstream}${revision === undefined ? "" : `-${revision}`}`
  })

it("it-is-an-order", () => {
  fc.assert(
    fc.property(version, version, version, (a, b, c) => {
      assert.strictEqual(compareDebianVersions(a, a), 0)
      assert.strictEqual(compareDebianVersions(a, b) + compareDebianVersions(b, a), 0)
      if (compareDebianVersions(a, b) <= 0 && compareDebianVersions(b, c) <= 0) {
        assert.isAtMost(compareDebianVersions(a, c), 0)
      }
    }),
    { numRuns: 2000 }
  )
})

const dpkg = spawnSync("dpkg", ["--version"]).status === 0

it.skipIf(!dpkg)(`it-is-dpkgs-order${dpkg ? "" : " (skipped: dpkg is not installed)"}`, () => {
  fc.assert(
    fc.property(version, version, (a, b) => {
      const older = spawnSync("dpkg", ["--compare-versions", a, "lt", b]).status === 0
      assert.strictEqual(compareDebianVersions(a, b) < 0, older, `${a} against ${b}`)
    }),
    { numRuns: 150 }
  )
})
