/** Every page of prose is on the site, and every link in one leads somewhere. */
import { execFileSync } from "node:child_process"
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { brokenInSite } from "./builtLinks.ts"
import { anchorsOf, brokenLinks, exportedNames, onSite, pages, root, unknownInDocstrings } from "./pages.ts"

const listed = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.md"], {
  cwd: root,
  encoding: "utf8"
})
  .split("\n")
  .filter((path) => path !== "" && !path.startsWith(".changeset/"))

describe("pages", () => {
  for (const page of listed) {
    it(`links-of-${page}-lead-somewhere`, () => {
      assert.deepStrictEqual(brokenLinks(page, readFileSync(join(root, page), "utf8")), [])
    })
  }

  it("all-below-docs-are-in-the-navigation", () => {
    const named = new Set(pages.map(({ path }) => path))
    const missing = listed.filter((path) => path.startsWith("docs/") && !named.has(path))
    assert.deepStrictEqual(missing, [], "name it in the groups of scripts/docs/pages.ts")
  })

  it("a-link-that-leads-nowhere-is-found", () => {
    const text = [
      "[a](none.md), [b](../README.md#none), [`c`](../README.md), `[d](none.md)`, [e](https://example.com/none)",
      "# Here: it is",
      "```md",
      "[f](none.md)",
      "```"
    ].join("\n")
    const targets = brokenLinks("docs/page.md", text).map((problem) => problem.split(" ")[1])
    assert.deepStrictEqual(targets, ["none.md", "../README.md#none"])
    assert.deepStrictEqual([...anchorsOf(text)], ["here-it-is"])
  })

  for (const folder of globSync("packages/*", { cwd: root }).toSorted()) {
    it(`docstrings-of-${folder}-link-to-names-that-it-has`, () => {
      const texts = globSync("src/**/*.ts", { cwd: join(root, folder) }).map(
        (path) => [path, readFileSync(join(root, folder, path), "utf8")] as const
      )
      const exported = new Set(texts.flatMap(([, text]) => exportedNames(text)))
      const unknown = texts.flatMap(([path, text]) =>
        unknownInDocstrings(text, exported).map((target) => `${path}: ${target}`)
      )
      assert.isNotEmpty(exported)
      assert.deepStrictEqual(unknown, [])
    })
  }

  it("a-link-of-a-docstring-to-nothing-is-found", () => {
    const text =
      "/** {@link one}, {@link\n * Two.three}, {@link gone}, {@link Gone.one | it}, {@link Far} */\nconst one = new Two() // gone"
    assert.deepStrictEqual(unknownInDocstrings(text, new Set(["Far"])), ["gone", "Gone.one"])
  })

  it("a-link-that-leads-nowhere-in-a-built-site-is-found", () => {
    const folder = mkdtempSync(join(tmpdir(), "stillpoint-site-"))
    writeFileSync(
      join(folder, "a.html"),
      '<h1 id="top"></h1><a href="b.html">b</a><a class="x" href="#top">t</a><a href="#no">n</a>'
    )
    const broken = brokenInSite(folder)
    rmSync(folder, { recursive: true })
    assert.deepStrictEqual(broken, ["a.html: b.html leads nowhere", "a.html: #no leads nowhere"])
  })

  it("links-to-files-that-are-not-on-the-site-become-names", () => {
    const text = "[`x`](../package.json) [the examples](../examples/) [guide](guide.md)"
    assert.strictEqual(onSite("docs/page.md", text), "`x` the examples (`examples`) [guide](guide.md)")
  })
})
