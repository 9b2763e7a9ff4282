import { assert, it } from "@effect/vitest"
import type { GuestImage, WorkloadSpec } from "@stillpoint/core"
import { Effect } from "effect"
import * as fc from "fast-check"
import { imageGuest, type ImageGuestInput } from "./ImageGuest.ts"
import { signalNumber } from "./signals.ts"

const image = (config: Partial<GuestImage["config"]> = {}, platform = "linux/riscv64"): GuestImage => ({
  file: "/cache/image",
  digest: "0".repeat(64),
  sizeBytes: 4096,
  imageDigest: "sha256:1",
  platform,
  layers: [],
  config: {
    user: "",
    exposedPorts: ["80/tcp"],
    env: ["PATH=/bin", "A=1", "odd"],
    entrypoint: ["/serve"],
    cmd: ["--fast"],
    volumes: [],
    workingDir: "/srv",
    labels: {},
    stopSignal: "SIGQUIT",
    ...config
  }
})

const workloadOf = (input: ImageGuestInput) => Effect.map(imageGuest(input), ({ workload }) => workload)
const reasonOf = (input: ImageGuestInput) => Effect.map(Effect.flip(imageGuest(input)), ({ reason }) => reason)

it.effect("what-the-image-says-counts-unless-it-is-said-otherwise", () =>
  Effect.gen(function* () {
    const plain = yield* imageGuest({ image: image() })
    assert.deepStrictEqual(plain.workload, {
      argv: ["/serve", "--fast"],
      env: { PATH: "/bin", A: "1" },
      cwd: "/srv",
      stopSignal: 3,
      root: { device: "stillpoint-root" },
      volumes: []
    } satisfies WorkloadSpec)
    assert.deepStrictEqual(plain.disks, [
      { name: "stillpoint-root", access: "read", source: "/cache/image", sizeBytes: 4096 }
    ])
    assert.notInclude(plain.modules, "ext4")
    assert.deepStrictEqual(plain.exposedPorts, ["80/tcp"])
    const workload = {
      env: { A: "2", B: "3" },
      cwd: "/",
      user: "ada:staff",
      stopSignal: 15,
      stopNanos: 5,
      exposedPorts: ["1/udp"]
    }
    const said = yield* imageGuest({ image: image({ user: "root" }), workload, hostname: "box" })
    assert.include(said.workload, { cwd: "/", user: "ada:staff", stopSignal: 15, stopNanos: 5, hostname: "box" })
    assert.deepStrictEqual(said.workload.env, { PATH: "/bin", A: "2", B: "3" })
    assert.deepStrictEqual(said.exposedPorts, ["1/udp"])
    for (const workingDir of ["/srv/app/", "/srv//app", "/srv/./app/.", "/srv/old/../app"]) {
      const { workload } = yield* imageGuest({ image: image({ workingDir }) })
      assert.strictEqual(workload.cwd, "/srv/app", workingDir)
    }
  })
)

it.effect("what-is-run-is-entry-point-and-command-as-containers-have-it", () =>
  Effect.gen(function* () {
    const argv = (workload: NonNullable<ImageGuestInput["workload"]>, config: Partial<GuestImage["config"]> = {}) =>
      Effect.map(workloadOf({ image: image(config), workload }), (found) => found.argv.join(" "))
    assert.strictEqual(yield* argv({}), "/serve --fast")
    assert.strictEqual(yield* argv({ cmd: ["a", "b"] }), "/serve a b")
    assert.strictEqual(yield* argv({ entrypoint: ["/other"] }), "/other")
    assert.strictEqual(yield* argv({ entrypoint: [], cmd: ["/sh"] }), "/sh")
    assert.strictEqual(yield* argv({ argv: ["/all", "of it"] }), "/all of it")
    assert.strictEqual(yield* argv({}, { entrypoint: [] }), "--fast")
  })
)

it.effect("disks-come-in-the-order-in-which-the-guest-has-them", () =>
  Effect.gen(function* () {
    const { disks, modules, workload } = yield* imageGuest({
      image: image(),
      readOnly: true,
      scratch: { diskBytes: 1 << 30 },
      disks: [
        { name: "data", path: "/data", access: "volume", source: "/volumes/data" },
        { name: "other", path: "/other", access: "read", source: "/other.erofs", type: "erofs" }
      ]
    })
    assert.deepStrictEqual(
      disks.map(({ name }) => name),
      ["stillpoint-root", "stillpoint-scratch", "data", "other"]
    )
    assert.deepStrictEqual(workload.root, {
      device: "stillpoint-root",
      readOnly: true,
      scratch: { device: "stillpoint-scratch" }
    })
    assert.deepStrictEqual(workload.volumes, [
      { device: "data", path: "/data" },
      { device: "other", path: "/other", type: "erofs", readOnly: true }
    ])
    assert.include(modules, "ext4")
  })
)

it.effect("what-cannot-be-run-is-refused-by-name", () =>
  Effect.gen(function* () {
    const disk = (name: string) => ({ name, path: "/data", access: "scratch" as const, sizeBytes: 1 << 24 })
    const none = yield* reasonOf({ image: image({ entrypoint: [], cmd: [] }) })
    assert.strictEqual(none._tag, "EntryPointMissing")
    const other = yield* reasonOf({ image: image({}, "linux/amd64") })
    assert(other._tag === "PlatformMismatch" && other.expected === "linux/riscv64" && other.found === "linux/amd64")
    // A kit's guests, and so their images, are for one platform.
    assert.deepStrictEqual(
      yield* imageGuest({ image: image({}, "linux/amd64") }, "amd64"),
      yield* imageGuest({ image: image() }, "riscv64")
    )
    const { reason } = yield* Effect.flip(imageGuest({ image: image() }, "amd64"))
    assert(reason._tag === "PlatformMismatch" && reason.expected === "linux/amd64")
    const twice = yield* reasonOf({ image: image(), disks: [disk("a"), disk("b"), disk("a")] })
    assert(twice._tag === "DiskNameTaken" && twice.name === "a")
    const own = yield* reasonOf({ image: image(), disks: [disk("stillpoint-root")] })
    assert.strictEqual(own._tag, "DiskNameTaken")
    const signal = yield* reasonOf({ image: image({ stopSignal: "SIGNONE" }) })
    assert(signal._tag === "StopSignalUnknown" && signal.found === "SIGNONE")
    // All problems at once.
    const wrong = { cwd: "relative", user: "a\0b" }
    const invalid = yield* reasonOf({ image: image(), workload: wrong, disks: [disk("a name")], holdNanos: -1 })
    assert(invalid._tag === "GuestInvalid")
    for (const place of ["cwd", "user", "name", "holdNanos"]) assert.include(invalid.problems, place)
    const unknown = yield* reasonOf({ image: image(), colour: "blue" } as never)
    assert(unknown._tag === "GuestInvalid" && unknown.problems.includes("colour"))
  })
)

it.effect("everything-that-is-wrong-with-a-guest-is-said-at-once", () =>
  Effect.gen(function* () {
    const disk = (name: string, path: string) => ({ name, path, access: "scratch" as const, sizeBytes: 1 << 24 })
    const refused = yield* Effect.flip(
      imageGuest({
        image: image({ entrypoint: [], cmd: [], stopSignal: "SIGNONE" }),
        disks: [disk("a", "/data"), disk("b", "/data/"), disk("a", "/dev/b"), disk("stillpoint-root", "/x/..")]
      })
    )
    assert.deepStrictEqual(
      [refused.reason, ...refused.others].map(({ _tag }) => _tag),
      ["EntryPointMissing", "StopSignalUnknown", "DiskNameTaken", "DiskNameTaken", "GuestInvalid"]
    )
    for (const words of ["volumes[1].path", "/dev", "below /"]) assert.include(refused.message, words)
    // An invalid image, for other machines, with an invalid configuration.
    const { reason, others } = yield* Effect.flip(imageGuest({ image: undefined as never, holdNanos: -1 }))
    assert(reason._tag === "GuestInvalid" && reason.problems.startsWith("image: "))
    assert(others[0]?._tag === "GuestInvalid" && others[0].problems.includes("holdNanos"))
    const amd = yield* Effect.flip(imageGuest({ image: image({}, "linux/amd64"), holdNanos: -1 }))
    assert.deepStrictEqual(
      [amd.reason._tag, ...amd.others.map(({ _tag }) => _tag)],
      ["PlatformMismatch", "GuestInvalid"]
    )
  })
)

it.effect("what-an-image-says-of-its-run-is-refused-as-what-anybody-else-says", () =>
  Effect.gen(function* () {
    const refused = yield* Effect.flip(
      imageGuest({ image: image({ workingDir: "srv/relative", user: "a\0b", env: ["A=\0"], cmd: ["\0"] }) })
    )
    for (const place of ["cwd", "user", "env", "argv"]) assert.include(refused.message, `["${place}"]`)
    // Lines and names that are not identifiers are accepted.
    const odd = { env: ["a.b-c=1\n2"], cmd: ["one\ntwo"], workingDir: "/with a\nline", user: "" }
    const { cwd, env } = yield* workloadOf({ image: image(odd) })
    assert.deepStrictEqual([cwd, env], ["/with a\nline", { "a.b-c": "1\n2" }])
  })
)

it.effect("a-disk-that-is-too-small-for-a-file-system-is-refused-before-there-is-a-machine", () =>
  Effect.gen(function* () {
    const disk = (name: string, sizeBytes: number) => ({
      name,
      path: `/${name}`,
      access: "scratch" as const,
      sizeBytes
    })
    const volume = { ...disk("c", 512), access: "volume" as const, source: "/c" }
    const disks = [disk("a", (8 << 20) - 512), disk("b", 8 << 20), volume, { ...disk("d", 512), type: "xfs" }]
    const refused = yield* Effect.flip(imageGuest({ image: image(), disks, scratch: { diskBytes: 4096 } }))
    const found = [refused.reason, ...refused.others].flatMap((each) =>
      each._tag === "GuestInvalid" ? each.problems : []
    )
    assert.deepStrictEqual(
      found.map((problem) => problem.split(":")[0]),
      ["disks[0].sizeBytes", "disks[2].sizeBytes", "scratch.diskBytes"]
    )
  })
)

it.effect("what-is-mounted-below-another-disk-is-mounted-after-it", () =>
  Effect.gen(function* () {
    const disk = (name: string, path: string) => ({ name, path, access: "scratch" as const, sizeBytes: 1 << 24 })
    const { disks, workload } = yield* imageGuest({ image: image(), disks: [disk("b", "/data/b"), disk("a", "/data")] })
    assert.deepStrictEqual(
      workload.volumes?.map(({ path }) => path),
      ["/data", "/data/b"]
    )
    assert.deepStrictEqual(
      disks.slice(1).map(({ name }) => name),
      ["b", "a"]
    )
  })
)

it("signals-have-the-numbers-of-linux-by-either-name", () => {
  for (const [name, number] of [
    ["HUP", 1],
    ["SIGKILL", 9],
    ["sigterm", 15],
    ["SIGSYS", 31],
    ["SIGRTMIN", 34],
    ["SIGRTMIN+3", 37],
    ["RTMAX-1", 63],
    ["64", 64]
  ] as const)
    assert.strictEqual(signalNumber(name), number)
  for (const name of ["", "0", "65", "SIG", "SIGRTMIN-1", "SIGRTMAX+1", "SIGSIGTERM", "1.5", "-9"])
    assert.strictEqual(signalNumber(name), undefined, name)
  fc.assert(
    fc.property(fc.string(), (text) => {
      const number = signalNumber(text)
      return number === undefined || (number >= 1 && number <= 64)
    })
  )
})
