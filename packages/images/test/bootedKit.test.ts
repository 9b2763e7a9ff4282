import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { Gate, Pipeline, type GuestEvent, Vmm } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { BootedKit, type CreateInput, FileUnusable, GuestKit, KitError } from "@stillpoint/kit"
import { Effect, Layer } from "effect"
import { bootedKitAt, bootedTo, folder, layer, linesOf, runTo, say, smallImage } from "./guests.ts"

const hello = { Cmd: ["sh", "-c", "echo hello from $0 && cat /etc/image /etc/hostname", "here"] }

const create = (input: CreateInput) => Effect.flatMap(BootedKit, (kit) => kit.create(input))

/** The events of a workload: from its pre-exec to its end. */
const storyOf = (events: ReadonlyArray<GuestEvent>) => {
  const from = events.findIndex((event) => event._tag === "WorkloadPreExec")
  return events.slice(from).flatMap((event) => {
    if (event._tag === "WorkloadPreExec") return [`pre-exec ${event.argv.join(" ")}`]
    if (event._tag === "SerialLine") return [event.text]
    return event._tag === "WorkloadExited" ? [`exited ${event.code}`] : []
  })
}

/** Guests of these tests boot on machines that are busy. */
const longestMillis = 300_000

describe("a guest of a booted kit", () => {
  withLayer(layer, { excludeTestServices: true, timeout: longestMillis })((it) => {
    it.effect(
      "does-what-a-booted-one-does-from-pre-exec-on",
      () =>
        Effect.gen(function* () {
          const image = yield* smallImage([], hello)
          const { machine, spec } = yield* create({ image, hostname: "box" })
          assert.strictEqual(spec.disks?.length, 1)
          const before = yield* machine.eventsSoFar()
          assert.deepStrictEqual([...new Set(before.map((event) => event._tag))], ["DiskAttached", "HostInput"])
          yield* runTo(machine, "WorkloadExited")
          const booted = yield* bootedTo("WorkloadExited", { image, hostname: "box" })
          const story = storyOf(yield* machine.eventsSoFar())
          assert.deepStrictEqual(story, storyOf(yield* booted.eventsSoFar()))
          assert.includeMembers([...story], ["hello from here", "from the image", "box", "exited 0"])
        }),
      longestMillis
    )

    it.effect(
      "is-the-same-whoever-makes-it-and-another-one-with-another-seed",
      () =>
        Effect.gen(function* () {
          const draw = { Cmd: ["sh", "-c", "cat /proc/sys/kernel/random/uuid"] }
          const image = yield* smallImage([], draw)
          const run = (input: Omit<CreateInput, "image">) =>
            Effect.scoped(
              Effect.gen(function* () {
                const { machine } = yield* create({ image, ...input })
                yield* runTo(machine, "WorkloadExited")
                return { digest: yield* machine.digest, uuid: (yield* linesOf(machine)).at(-1) ?? "" }
              })
            )
          // One boots the kit, the other restores the snapshot that the first one has left.
          const directory = yield* folder
          const [first, second] = yield* Effect.forEach([1, 2], () =>
            run({ seed: 7 }).pipe(Effect.provide(bootedKitAt(directory), { local: true }))
          )
          assert.strictEqual(readdirSync(directory).filter((name) => name !== "keys").length, 1)
          assert.deepStrictEqual(second, first)
          assert.match(first?.uuid ?? "", /^[0-9a-f-]{36}$/)
          const others = yield* Effect.forEach([8, null, null], (seed) => run({ seed }))
          assert.strictEqual(new Set([first?.uuid, ...others.map(({ uuid }) => uuid)]).size, 4)
        }),
      longestMillis
    )

    it.effect(
      "has-the-wall-clock-that-it-was-given",
      () =>
        Effect.gen(function* () {
          const image = yield* smallImage([], { Cmd: ["busybox", "date", "-u", "+%Y-%m-%d"] })
          const { machine } = yield* create({ image, epochMillis: Date.UTC(2031, 4, 6) })
          yield* runTo(machine, "WorkloadExited")
          assert.include(yield* linesOf(machine), "2031-05-06")
        }),
      longestMillis
    )

    it.effect(
      "is-captured-at-pre-exec-by-a-pipeline-and-runs-its-workload-afresh-in-every-clone",
      () =>
        Effect.gen(function* () {
          const image = yield* smallImage([], {
            Cmd: ["sh", "-c", "cat /proc/sys/kernel/random/uuid > /drawn; exec sleep 1000000"]
          })
          const guest = yield* create({
            image,
            disks: [{ name: "d", path: "/d", access: "scratch", sizeBytes: 32 << 20 }]
          })
          const target = join(yield* folder, "snapshot")
          const { value } = yield* Pipeline.run(guest.spec, {
            begun: guest,
            policy: kindTrigger("WorkloadPreExec"),
            target
          })
          assert.strictEqual(value.snapshot.manifest.capture.hasAgent, true)
          const drawn = yield* Effect.forEach([1, 2, 3], () =>
            Effect.scoped(
              Effect.gen(function* () {
                const { machine } = yield* Gate.restore(target)
                yield* machine.run({ budgetNanos: 1_000_000_000 })
                return yield* say(machine, "cat", "/drawn")
              })
            )
          )
          assert.strictEqual(new Set(drawn).size, 3)
        }),
      longestMillis
    )

    it.effect(
      "fails-by-name-and-leaves-nothing",
      () =>
        Effect.gen(function* () {
          const image = yield* smallImage()
          const directory = yield* folder
          const disk = (name: string) => ({ name, path: `/${name}`, access: "scratch" as const, sizeBytes: 1 << 24 })
          const many = yield* Effect.flip(create({ image, disks: ["a", "b", "c", "d"].map(disk) }))
          assert(many._tag === "ImageGuestError" && many.reason._tag === "DisksTooMany")
          const unfit = { memoryMib: 0, diskSlots: 25, heartbeatMillis: -1, colour: "blue" }
          const options = yield* Effect.flip(Effect.scoped(Layer.build(BootedKit.layer(unfit))))
          assert(options._tag === "BootedKitInvalid")
          for (const name of Object.keys(unfit)) assert.include(options.problems, name)
          const small = BootedKit.layer({ directory, memoryMib: 80 })
          const early = yield* Effect.flip(
            Effect.provide(
              BootedKit.use(({ ready }) => ready),
              small,
              { local: true }
            )
          )
          assert(early._tag === "BootedKitNotReady" && early.message.includes("80 MiB of memory: give it more"))
          assert.deepStrictEqual(readdirSync(directory), [])
          const seed = yield* Effect.flip(create({ image, seed: -1 }))
          assert(seed._tag === "ImageGuestError" && seed.reason._tag === "GuestInvalid")
          const gone = yield* Effect.flip(create({ image: { ...image, file: join(directory, "gone") } }))
          assert(gone._tag === "AttachError" && gone.reason._tag === "DiskUnreadable")
          // A disk that is no file system is the guest's to find out, and it says so.
          const { machine } = yield* create({
            image,
            disks: [{ name: "a", path: "/a", access: "read", source: image.file, type: "ext4" }]
          })
          yield* machine.run({ kinds: ["WorkloadFailed"], budgetNanos: 10_000_000_000 })
          const failed = (yield* machine.eventsSoFar()).at(-1)
          assert(failed?._tag === "WorkloadFailed" && failed.step === "volume")
          // So is a user whom the image does not have, or has in a file that is longer than is read.
          const passwd = `${"x".repeat(5_000_000)}:x:1:1::/:/bin/sh\neve:x:2:2::/:/bin/sh\n`
          const tooLong = [{ path: "etc/passwd", content: passwd }]
          const limit = `/etc/passwd: expected at most ${4 << 20} bytes, found ${passwd.length}`
          for (const [files, message] of [[[], "there is no such user: eve"] as const, [tooLong, limit] as const]) {
            const eves = yield* smallImage(files, { Cmd: ["true"], User: "eve" })
            const { machine: nobodys } = yield* create({ image: eves })
            yield* nobodys.run({ kinds: ["WorkloadFailed"], budgetNanos: 10_000_000_000 })
            const unknown = (yield* nobodys.eventsSoFar()).at(-1)
            assert(unknown?._tag === "WorkloadFailed" && unknown.step === "user", unknown?._tag)
            assert.strictEqual(unknown.message, message)
          }
          const { machine: running } = yield* create({ image })
          yield* runTo(running, "WorkloadPreExec")
          const command = yield* Effect.flip(running.exec({ argv: ["true"], user: "eve" }))
          assert(
            command._tag === "ExecError" && command.message.includes("there is no such user: eve"),
            command.message
          )
          // A volume that something else has formatted is refused, and is what it was.
          const foreign = join(directory, "foreign")
          const bytes = Buffer.alloc(16 << 20)
          bytes.write("_BHRfS_M", 0x10040)
          writeFileSync(foreign, bytes)
          const { machine: other } = yield* create({
            image,
            disks: [{ name: "data", path: "/data", access: "volume", source: foreign }]
          })
          yield* other.run({ kinds: ["WorkloadFailed"], budgetNanos: 10_000_000_000 })
          const refused = (yield* other.eventsSoFar()).at(-1)
          assert(refused?._tag === "WorkloadFailed" && refused.step === "volume" && refused.message.includes("data"))
          assert.strictEqual(Buffer.compare(readFileSync(foreign), bytes), 0)
          // One that another engine keeps in a format of its own is refused before the guest sees it.
          bytes.write("QFI\xfb", "latin1")
          writeFileSync(foreign, bytes)
          const format = yield* Effect.flip(
            create({ image, disks: [{ name: "data", path: "/data", access: "volume", source: foreign }] })
          )
          assert(format._tag === "AttachError" && format.reason._tag === "DiskUnreadable")
          assert.include(format.message, "expected the bytes of a disk as they are, found the format qcow2")
        }),
      longestMillis
    )

    it.effect(
      "comes-of-a-kit-whose-snapshot-is-found-without-a-machine-by-whoever-has-the-same-build",
      () =>
        Effect.gen(function* () {
          const directory = yield* folder
          const vmm = yield* Vmm
          const kit = yield* GuestKit
          const kernelPath = join(yield* folder, "kernel")
          const writeKernel = (path: string) => {
            copyFileSync(path, kernelPath)
            utimesSync(kernelPath, 1e9, 1e9)
            // A file that was changed just now could change again unseen, and is not cached.
            return Effect.sleep("150 millis")
          }
          yield* writeKernel((yield* kit.files).kernelPath)
          const guestToKeep: typeof kit.guestToKeep = (config) =>
            Effect.map(kit.guestToKeep(config), (spec) => ({ ...spec, kernelPath }))
          const ofKernel: typeof kit.guestToFind = (config) =>
            Effect.map(kit.guestToFind(config), (found) => ({ ...found, kernelPath }))
          const kitOf = (guestToFind: typeof kit.guestToFind) =>
            Layer.succeed(GuestKit, { ...kit, guestToKeep, guestToFind })
          /** Machines that a kit boots until it is ready, if that is what makes them. */
          const boots = Effect.fnUntraced(function* (build: string | undefined, guestToFind = ofKernel) {
            const { build: _, ...rest } = vmm
            let count = 0
            const counting = Layer.succeed(
              Vmm,
              Vmm.of({
                ...rest,
                ...(build === undefined ? {} : { build }),
                boot: (spec) => Effect.tap(vmm.boot(spec), () => Effect.sync(() => void (count += 1)))
              })
            )
            yield* Effect.flatMap(BootedKit, (kit) => kit.ready).pipe(
              Effect.provide(Layer.provide(bootedKitAt(directory), [counting, kitOf(guestToFind)]), { local: true })
            )
            return count
          })
          assert.isString(vmm.build)
          // Its key, and the kit; then nothing.
          assert.deepStrictEqual([yield* boots(vmm.build), yield* boots(vmm.build)], [2, 0])
          // Another build has its own results; without a build, each time.
          assert.deepStrictEqual([yield* boots("another"), yield* boots("another")], [1, 0])
          assert.deepStrictEqual([yield* boots(undefined), yield* boots(undefined)], [1, 1])
          // After a write to the kernel, whatever its times, the key is computed again.
          yield* writeKernel((yield* kit.files).kernelPath)
          assert.deepStrictEqual([yield* boots(vmm.build), yield* boots(vmm.build)], [1, 0])
          // A kit with a file that is damaged is made whole, and then its key is found out, as that of any kit that is not known.
          const damaged = new KitError({ reason: new FileUnusable({ path: "erofs", detail: "no module" }) })
          assert.strictEqual(yield* boots(vmm.build, () => Effect.fail(damaged)), 1)
          // A cached key counts only if it leads to a snapshot.
          const keys = join(directory, "keys")
          const digest = "0".repeat(64)
          for (const change of [
            () => "no key",
            () => `${digest}\n`,
            // Another snapshot's, and a root that is not the one that was booted.
            (kept: Buffer) => Buffer.concat([Buffer.from(digest), kept.subarray(64)]),
            (kept: Buffer) => Buffer.concat([kept.subarray(0, -1), Buffer.from("x")]),
            (kept: Buffer) => kept.subarray(0, -1)
          ]) {
            for (const name of readdirSync(keys))
              writeFileSync(join(keys, name), change(readFileSync(join(keys, name))))
            assert.deepStrictEqual([yield* boots(vmm.build), yield* boots(vmm.build)], [1, 0])
          }
          for (const name of readdirSync(directory))
            if (name !== "keys") rmSync(join(directory, name), { recursive: true })
          assert.deepStrictEqual([yield* boots(vmm.build), yield* boots(vmm.build)], [2, 0])
        }),
      longestMillis
    )

    it.effect(
      "comes-of-a-kit-that-is-booted-anew-where-its-snapshot-is-damaged",
      () =>
        Effect.gen(function* () {
          const directory = yield* folder
          const ready = Effect.flatMap(BootedKit, (kit) => kit.ready).pipe(
            Effect.provide(bootedKitAt(directory), { local: true })
          )
          mkdirSync(directory, { recursive: true })
          yield* ready
          const [key = ""] = readdirSync(directory)
          const contents = readdirSync(join(directory, key)).find((name) => name.startsWith("contents-")) ?? ""
          const damaged = join(directory, key, contents, "machine.bin")
          truncateSync(damaged, statSync(damaged).size - 1)
          yield* ready
          const image = yield* smallImage([], hello)
          const { machine } = yield* create({ image }).pipe(Effect.provide(bootedKitAt(directory), { local: true }))
          yield* runTo(machine, "WorkloadExited")
          assert.include(yield* linesOf(machine), "hello from here")
        }),
      longestMillis
    )
  })
})
