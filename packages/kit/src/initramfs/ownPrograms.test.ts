import { assert, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import * as fc from "fast-check"
import { type CpioEntry, readCpio } from "./cpio.ts"
import type { GuestConfigInput } from "./GuestConfig.ts"
import { buildInitramfs } from "./Initramfs.ts"
import { withoutPrograms } from "./ownPrograms.ts"

const busyboxOf = (names: ReadonlyArray<string>) =>
  Buffer.from(`code tar\0${["[", "[[", ...names].map((name) => `${name}\0`).join("")}\0more tar\0`, "latin1")

const names = ["ash", "ls", "sh", "tar", "tartar", "xtar"]

it("a-forgotten-name-and-nothing-else-changes", () => {
  fc.assert(
    fc.property(fc.subarray(names), fc.array(fc.stringMatching(/^[a-z]{1,6}$/)), (taken, others) => {
      const forgotten = new Set([...taken, ...others.filter((name) => !names.includes(name))])
      const before = busyboxOf(names)
      const after = Buffer.from(withoutPrograms(before, forgotten))
      assert.strictEqual(after.length, before.length)
      const listed = after
        .toString("latin1")
        .split("\0")
        .slice(3, 3 + names.length)
      for (const [i, name] of names.entries()) {
        const expected = taken.includes(name) ? `${name.slice(0, -1)}\x01` : name
        assert.strictEqual(listed[i], expected)
      }
      assert.strictEqual(after.toString("latin1").split("\0\0")[1], "more tar\0")
      assert.isTrue(after.toString("latin1").startsWith("code tar\0"))
    })
  )
})

const build = (config: GuestConfigInput) =>
  Effect.map(
    buildInitramfs({ agent: Buffer.from("agent"), busybox: busyboxOf(names), modules: new Map() }, config),
    (archive) => new Map<string, CpioEntry>(Result.getOrThrow(readCpio(archive)).map((entry) => [entry.path, entry]))
  )

const text = (entry: CpioEntry | undefined) => Buffer.from(entry?.content ?? []).toString("latin1")

it.effect("a-program-of-the-users-comes-before-busyboxs", () =>
  Effect.gen(function* () {
    const program = { content: "mine", mode: 0o755 }
    for (const [config, isForgotten, link = "busybox"] of [
      [{ files: { "/usr/bin/tar": program } }, true],
      [{ files: { "/bin/tar": program } }, true, "mine"],
      [{ files: { "/opt/gnu": program }, links: { "/usr/bin/tar": "../../opt/gnu" } }, true],
      // A folder that nothing names yet: a script may put it into its `PATH`.
      [{ files: { "/opt/mine/tar": program } }, true],
      // One that is there later, on a volume say.
      [{ links: { "/usr/bin/tar": "/tools/tar" } }, true],
      [{ links: { "/usr/bin/tar": "/usr/local/tar", "/usr/local": "/tools" } }, true],
      [{ links: { "/etc/mtab": "/proc/mounts" } }, false],
      [{ files: { "/usr/bin/tar": { content: "text" } } }, false],
      [{ files: { "/usr/bin/sh": program } }, false],
      [{ files: { "/usr/bin/unknown": program } }, false],
      [{ links: { "/usr/bin/tar": "/bin/busybox" } }, false],
      [{ links: { "/usr/bin/tar": "/bin/ls" } }, false]
    ] as ReadonlyArray<readonly [GuestConfigInput, boolean, string?]>) {
      const entries = yield* build(config)
      const about = JSON.stringify(config)
      assert.strictEqual(text(entries.get("stillpoint/busybox")).includes("\0ta\x01\0"), isForgotten, about)
      assert.strictEqual(text(entries.get("bin/busybox")), busyboxOf(names).toString("latin1"), about)
      assert.strictEqual(text(entries.get("bin/tar")), link, about)
      for (const other of ["sh", "env"])
        assert.strictEqual(text(entries.get(`bin/${other}`)), isForgotten ? "/stillpoint/busybox" : "busybox", about)
    }
  })
)
