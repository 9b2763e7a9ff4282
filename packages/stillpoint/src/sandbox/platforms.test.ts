import { assert, describe, it } from "@effect/vitest"
import { ImageError, Images, type ResolvedImage } from "@stillpoint/images"
import type { EngineReport } from "@stillpoint/native"
import { Effect, Layer } from "effect"
import { HostEngines, imageFor, type PlatformName, platformNames, platformOfKit } from "./platforms.ts"

const soft: EngineReport = { name: "soft", board: "riscv", isUsable: true, detail: null }
const kvm = (isUsable: boolean, detail: string | null): EngineReport => ({
  name: "kvm",
  board: "x86_64",
  isUsable,
  detail
})

/** Hosts, by what they say of engine kvm. */
const hosts = {
  "with KVM": [soft, kvm(true, null)],
  "whose KVM emulates": [soft, kvm(true, "it emulates")],
  "without KVM": [soft, kvm(false, "no /dev/kvm; load the module kvm")],
  "of another platform": [soft]
}

const image = (platform: string): ResolvedImage => ({
  file: "/image",
  sizeBytes: 1,
  digest: "d",
  imageDigest: "i",
  platform,
  inodes: 1,
  layers: [],
  ignoredXattrs: [],
  wasCached: true,
  config: {} as ResolvedImage["config"]
})

/** Images that have some platforms; which were asked for. */
const imagesOf = (...has: ReadonlyArray<string>) => {
  const asked: Array<string> = []
  const layer = Layer.mock(Images, {
    resolve: (_reference, { platform = "" } = {}) => {
      asked.push(platform)
      const message = `expected an image for ${platform}, found one for ${has.join(", ")}`
      return has.includes(platform)
        ? Effect.succeed(image(platform))
        : Effect.fail(new ImageError({ reason: { _tag: "PlatformMissing", message } }))
    }
  })
  return { asked, layer }
}

const chosen = (host: keyof typeof hosts, name: PlatformName, ...has: ReadonlyArray<string>) =>
  imageFor("oci:x", name, {}).pipe(
    Effect.match({
      onSuccess: ({ platform, reason, resolved }) => [platform, reason, resolved.platform].join("; "),
      onFailure: (error) => `${error._tag}: ${error.message}`
    }),
    Effect.provide(imagesOf(...has).layer),
    Effect.provideService(HostEngines, Effect.succeed(hosts[host]))
  )

const both = ["linux/amd64", "linux/riscv64"]

describe("the platform of a sandbox", () => {
  it.effect("is-the-one-that-the-host-runs-best-of-those-that-the-image-has-with-the-reason", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* chosen("with KVM", "auto", ...both),
        "amd64; this host runs linux/amd64, under KVM; linux/amd64"
      )
      assert.strictEqual(
        yield* chosen("with KVM", "auto", "linux/riscv64"),
        "riscv64; the image has no linux/amd64; linux/riscv64"
      )
      for (const [host, why] of [
        ["whose KVM emulates", "it emulates"],
        ["without KVM", "no /dev/kvm; load the module kvm"],
        ["of another platform", "this build has no engine for it"]
      ] as const) {
        const expected = `riscv64; this host does not run linux/amd64: ${why}; linux/riscv64`
        assert.strictEqual(yield* chosen(host, "auto", ...both), expected)
        const refused = yield* chosen(host, "auto", "linux/amd64")
        assert.match(
          refused,
          /^PlatformUnusable: oci:x: expected an image for a platform that this host runs: linux\/riscv64/
        )
        assert.include(
          refused,
          `found one for linux/amd64. linux/amd64 runs under KVM, not here: ${why}. Take an image`
        )
      }
    })
  )

  it.effect("is-the-one-that-was-asked-for-or-refused-before-anything-is-resolved", () =>
    Effect.gen(function* () {
      for (const host of Object.keys(hosts) as ReadonlyArray<keyof typeof hosts>) {
        assert.strictEqual(yield* chosen(host, "linux/riscv64", ...both), "riscv64; ; linux/riscv64")
        const { asked, layer } = imagesOf(...both)
        const found = yield* Effect.result(
          Effect.provideService(
            Effect.provide(imageFor("oci:x", "linux/amd64", {}), layer),
            HostEngines,
            Effect.succeed(hosts[host])
          )
        )
        const runs = host === "with KVM"
        assert.strictEqual(found._tag, runs ? "Success" : "Failure")
        assert.deepStrictEqual(asked, runs ? ["linux/amd64"] : [])
        const kit = (name: PlatformName) =>
          Effect.result(
            Effect.provideService(platformOfKit("kit:httpd", name), HostEngines, Effect.succeed(hosts[host]))
          )
        for (const name of platformNames) {
          const taken = yield* kit(name)
          if (name === "linux/amd64" && !runs) assert.strictEqual(taken._tag, "Failure")
          else {
            const expected = name === "linux/amd64" ? "amd64" : "riscv64"
            assert.deepStrictEqual(taken._tag === "Success" && taken.success.platform, expected)
          }
        }
      }
    })
  )

  it.effect("is-missing-by-name-where-an-image-has-none-of-them", () =>
    Effect.gen(function* () {
      const told = yield* chosen("with KVM", "auto", "linux/arm64")
      assert.strictEqual(told, "ImageError: expected an image for linux/riscv64, found one for linux/arm64")
    })
  )
})
