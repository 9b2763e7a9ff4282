/** `docs/dependencies.md` says what is depended on: all of it, and nothing that is not. */
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"

const root = fileURLToPath(new URL("../..", import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), "utf8")
const isOurs = (name: string): boolean => /^(@?stillpoint|stillpoint-[a-z]+)(\/|$)/.test(name)

const packageFiles = ["package.json", "{packages,examples,scripts}/*/package.json", "examples/package.json"]
const npmPackages = (): ReadonlyArray<string> =>
  globSync(packageFiles, { cwd: root }).flatMap((path) => {
    const { dependencies, devDependencies, peerDependencies } = JSON.parse(read(path))
    return Object.keys({ ...dependencies, ...devDependencies, ...peerDependencies })
  })

const crates = (): ReadonlyArray<string> =>
  globSync(["Cargo.toml", "packages/native/{crates/*,fuzz}/Cargo.toml"], { cwd: root }).flatMap((path) =>
    read(path)
      .split(/^\[/m)
      .filter((section) => /^[^\]]*dependencies\]/.test(section))
      .flatMap((section) =>
        [...section.matchAll(/^([A-Za-z0-9_-]+)(?:\.workspace)?\s*=/gm)].map(([, name = ""]) => name)
      )
  )

/** The names in the first column of the table below a heading, in backticks. */
const namedUnder = (heading: string): ReadonlyArray<string> => {
  const section = read("docs/dependencies.md").split(`## ${heading}\n`)[1]?.split("\n## ")[0] ?? ""
  const rows = section.split("\n").filter((line) => /^\| [^-]/.test(line))
  return rows.flatMap((line) => [...(line.split("|")[1] ?? "").matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name))
}

const sorted = (names: ReadonlyArray<string>): ReadonlyArray<string> =>
  [...new Set(names.filter((name) => !isOurs(name)))].toSorted()

describe("docs/dependencies.md", () => {
  it("names-every-npm-package-that-is-depended-on-and-no-other", () => {
    assert.deepStrictEqual(sorted(namedUnder("TypeScript")), sorted(npmPackages()))
  })

  it("names-every-crate-that-is-depended-on-and-no-other", () => {
    assert.deepStrictEqual(sorted(namedUnder("Rust")), sorted(crates()))
  })
})

/** Names of the crates that a manifest needs to be built, those of its tests left out. */
const neededBy = (manifest: string): ReadonlyArray<string> =>
  manifest
    .split(/^\[/m)
    .filter((section) => /^(target\.[^\]]*\.)?dependencies\]/.test(section))
    .flatMap((section) => [...section.matchAll(/^([A-Za-z0-9_-]+)(?:\.workspace)?\s*=/gm)].map(([, name = ""]) => name))

/** The packages of a lock file, each with the names of what it depends on. */
const lockedIn = (lock: string): ReadonlyMap<string, ReadonlyArray<string>> =>
  new Map(
    lock.split("[[package]]\n").map((entry) => {
      const [, name = ""] = /^name = "([^"]+)"/m.exec(entry) ?? []
      const [, listed = ""] = /^dependencies = \[([^\]]*)\]/m.exec(entry) ?? []
      return [name, [...listed.matchAll(/"([^" ]+)/g)].map(([, found = ""]) => found)]
    })
  )

describe("packages/native/fuzz/Cargo.lock", () => {
  it("has-what-the-crates-that-are-fuzzed-depend-on", () => {
    const locked = lockedIn(read("packages/native/fuzz/Cargo.lock"))
    let crates = 0
    for (const path of globSync("packages/native/{crates/*,fuzz}/Cargo.toml", { cwd: root })) {
      const manifest = read(path)
      const [, name = ""] = /^name = "([^"]+)"/m.exec(manifest) ?? []
      const found = locked.get(name)
      if (found === undefined) continue
      crates += 1
      const missing = neededBy(manifest).filter((needed) => !found.includes(needed))
      assert.deepStrictEqual(missing, [], `${path}: cargo update --workspace in packages/native/fuzz`)
    }
    assert.isAtLeast(crates, 4)
  })
})
