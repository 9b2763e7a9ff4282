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

/** What stands in the first column of the table below a heading, in backticks. */
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
