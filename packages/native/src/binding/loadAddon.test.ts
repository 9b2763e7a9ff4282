import { assert, it } from "vitest"
import { untestedPlatforms } from "./addonFiles.ts"
import { AddonMissing } from "./loadAddon.ts"

const told = (platform: string): string =>
  new AddonMissing({ platform, path: "/somewhere/stillpoint.node", detail: "none" }).message

it("a-platform-without-an-addon-is-named-with-its-state-and-how-to-build-one", () => {
  for (const platform of [...untestedPlatforms, "darwin-x64", "linux-x64-musl", "win32-x64"]) {
    assert.include(
      told(platform),
      `there is no prebuilt addon for ${platform}, only for linux-x64-gnu, linux-arm64-gnu`
    )
    assert.include(told(platform), "make setup")
    assert.strictEqual(told(platform).includes("is untested there"), platform === "darwin-arm64")
  }
  assert.include(told("linux-x64-gnu"), "optional dependencies")
})
