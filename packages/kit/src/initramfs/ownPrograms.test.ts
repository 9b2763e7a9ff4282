import { assert, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import * as fc from "fast-check"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
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

/** Where seven of eight parts of a list begin: at which name, and at which byte of the list. */
const partsOf = (known: ReadonlyArray<string>) => {
  const firsts = [1, 2, 3, 4, 5, 6, 7].map((part) => Math.floor((known.length * part) / 8))
  const bytes = firsts.map((first) => known.slice(0, first).join("").length + first)
  return { firsts, index: Buffer.from(new Uint16Array(bytes).buffer) }
}

/** Looks names up as `find_applet_by_name` of busybox does, in the list and by the index of where its parts begin. */
const lookUpIn = (list: string, index: Buffer, count: number) => {
  const stringAt = (at: number) => list.slice(at, list.indexOf("\0", at))
  const starts = [0, ...[0, 1, 2, 3, 4, 5, 6].map((part) => index.readUInt16LE(2 * part))]
  return (name: string) => {
    const part = starts.findLastIndex((start, each) => each === 0 || name >= stringAt(start))
    let at = starts[part] ?? 0
    for (let i = Math.floor((count * part) / 8); i < Math.floor((count * (part + 1)) / 8); i++) {
      if (stringAt(at) === name) return i
      at += stringAt(at).length + 1
    }
    return -1
  }
}

const onlyTheForgottenAreNotFound = (
  before: Uint8Array,
  known: ReadonlyArray<string>,
  taken: ReadonlyArray<string>
) => {
  const bytes = Buffer.from(before)
  const listAt = bytes.indexOf("[\0[[\0")
  const indexAt = bytes.indexOf(partsOf(known).index)
  assert.isAtLeast(indexAt, 0)
  const after = withoutPrograms(before, new Set(taken))
  assert.strictEqual(after.length, before.length)
  const end = listAt + known.join("").length + known.length
  const list = Buffer.from(after).toString("latin1", listAt, end)
  const lookUp = lookUpIn(list, Buffer.from(after).subarray(indexAt, indexAt + 14), known.length)
  const forgotten = new Set(taken.length > 0 ? [...taken, "busybox"] : [])
  for (const [at, name] of known.entries()) {
    const found = lookUp(name)
    if (found !== (forgotten.has(name) ? -1 : at)) assert.fail(`${name} at ${found} without ${taken.join(" ")}`)
  }
  // Nothing else has changed, and no name that can be typed has come.
  for (const [from, to] of [
    [0, Math.min(indexAt, listAt)],
    [Math.max(end, indexAt + 14), bytes.length]
  ] as const)
    assert.isTrue(bytes.subarray(from, to).equals(after.subarray(from, to)))
  const unknown = list.split("\0").slice(0, -1)
  assert.lengthOf(unknown, known.length)
  assert.isTrue(unknown.every((name, at) => name === known[at] || name.endsWith("\x01") || name.endsWith("\xff")))
}

const kept = join(import.meta.dirname, "../../../../.cache/guest-kit/packages")
const lock = JSON.parse(readFileSync(join(import.meta.dirname, "../../guest-kit.lock.json"), "utf8"))
const kitsBusybox = join(kept, lock.busybox.sha256, "busybox")

it.skipIf(!existsSync(kitsBusybox))(
  `the-kits-busybox-finds-every-program-but-the-forgotten${existsSync(kitsBusybox) ? "" : " (skipped: no guest kit)"}`,
  () => {
    const busybox = readFileSync(kitsBusybox)
    const listAt = busybox.indexOf("[\0[[\0")
    const known = busybox.toString("latin1", listAt, busybox.indexOf("\0\0", listAt)).split("\0")
    const firsts = partsOf(known).firsts.map((first) => known[first] ?? "")
    assert.includeMembers(firsts, ["ip", "su"])
    // Only names in the list are checked, so most of the rest is left out.
    const indexAt = busybox.indexOf(partsOf(known).index)
    const short = busybox.subarray(Math.min(listAt, indexAt) - 16, Math.max(listAt + 5000, indexAt + 32))
    for (const name of known) onlyTheForgottenAreNotFound(short, known, [name])
    for (const taken of [firsts, known]) onlyTheForgottenAreNotFound(busybox, known, taken)
    fc.assert(
      fc.property(fc.subarray(known), (taken) => onlyTheForgottenAreNotFound(busybox, known, taken)),
      { numRuns: 20 }
    )
  }
)

it("a-list-in-parts-loses-the-forgotten-and-no-other", () => {
  const name = fc.stringMatching(/^[b-e]{2,4}$/)
  fc.assert(
    fc.property(
      fc.uniqueArray(name, { minLength: 40, maxLength: 90 }).chain((others) => {
        const known = ["[", "[[", "busybox", ...others].sort()
        // Room for six longer names is in `busybox`: of the seven that begin a part, no more are taken.
        const firsts = new Set(partsOf(known).firsts.map((first) => known[first] ?? ""))
        const few = fc.subarray(known, { maxLength: 6 })
        const rest = fc.subarray(known.filter((each) => !firsts.has(each)))
        return fc.tuple(fc.constant(known), few, rest)
      }),
      fc.boolean(),
      ([known, few, rest], isBefore) => {
        const { firsts, index } = partsOf(known)
        fc.pre(!firsts.includes(known.indexOf("busybox")))
        const list = Buffer.from(`${known.join("\0")}\0\0`)
        const between = Buffer.from("more tar\0")
        const busybox = Buffer.concat(isBefore ? [between, index, list, between] : [between, list, between, index])
        onlyTheForgottenAreNotFound(busybox, known, [...new Set([...few, ...rest])])
      }
    ),
    { numRuns: 100 }
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
