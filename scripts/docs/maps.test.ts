/**
 * The files that the maps name exist: a file that was moved must be changed in `CONTRIBUTING.md` and
 * `docs/design/` too.
 */
import { execFileSync } from "node:child_process"
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"

const root = fileURLToPath(new URL("../..", import.meta.url))
const listed = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
  cwd: root,
  encoding: "utf8",
  maxBuffer: 1 << 26
}).split("\0")
/** Maps leave out what every path of a package has: `core/timeline/x.ts` is `packages/core/src/timeline/x.ts`. */
const known = new Set([...listed, ...listed.map((path) => path.replaceAll("/src/", "/"))].map((path) => `/${path}`))

const isThere = (name: string): boolean => {
  for (const path of known) if (path.endsWith(`/${name}`)) return true
  return false
}

/** Files that a page names in backticks; what stands for any name (`<name>`, `*`) is left out. */
const filesNamedIn = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/`([A-Za-z0-9_.@/-]+\.(?:ts|rs|c|h|sh|json|ndjson|md))`/g)].map(([, name = ""]) => name)

describe("the maps", () => {
  for (const page of globSync(["CONTRIBUTING.md", "docs/design/*.md"], { cwd: root })) {
    it(`of-${page}-name-files-that-are-there`, () => {
      const named = filesNamedIn(readFileSync(join(root, page), "utf8"))
      assert.deepStrictEqual(
        named.filter((name) => !isThere(name)),
        []
      )
    })
  }

  it("are-read", () => {
    assert.deepStrictEqual(filesNamedIn("in `a/b.ts`, `c.rs` and `<kind>/mod.rs`, not `word`"), ["a/b.ts", "c.rs"])
  })
})
