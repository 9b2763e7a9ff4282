/**
 * Writes the API documentation to `docs/api/`, one page per package entry, from the docstrings of what it exports.
 *
 * Declarations are taken from the compiler's own output (`tsc -b`), so a page shows what a user of the package sees.
 */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))
const out = join(root, "docs/api")
const entries = [
  ["@stillpoint/core", "packages/core/dist/index.d.ts"],
  ["@stillpoint/core/testing", "packages/core/dist/testing/index.d.ts"],
  ["@stillpoint/triggers", "packages/triggers/dist/index.d.ts"],
  ["@stillpoint/triggers/testing", "packages/triggers/dist/testing/index.d.ts"],
  ["@stillpoint/native", "packages/native/dist/index.d.ts"],
  ["@stillpoint/kit", "packages/kit/dist/index.d.ts"],
  ["stillpoint", "packages/stillpoint/dist/index.d.ts"]
] as const

/** The declaration files that an entry re-exports, in order. */
const modulesOf = (entry: string): ReadonlyArray<string> => {
  const found = new Set<string>()
  const visit = (file: string): void => {
    if (found.has(file) || !existsSync(file)) return
    found.add(file)
    const text = readFileSync(file, "utf8")
    for (const match of text.matchAll(/^export .*from "(\.[^"]+)"/gm)) {
      visit(join(dirname(file), (match[1] ?? "").replace(/\.[jt]s$/, ".d.ts")))
    }
  }
  visit(entry)
  found.delete(entry)
  return [...found]
}

/** Exported declarations of a file with the docstring before each. */
const documented = (text: string): ReadonlyArray<{ readonly doc: string; readonly code: string }> => {
  const pattern =
    /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*\nexport (declare |interface |type |abstract )([\s\S]*?)(?=\n(?:\/\*\*|export |declare |\/\/#|import )|$)/g
  return [...text.matchAll(pattern)].map((match) => ({
    doc: (match[1] ?? "")
      .split("\n")
      .map((line) => line.replace(/^\s*\* ?/, ""))
      .join("\n")
      .replaceAll("@example", "Example:")
      .replaceAll(/\{@link ([^}]+)\}/g, "`$1`")
      .trim(),
    code: `export ${match[2] ?? ""}${match[3] ?? ""}`.trim()
  }))
}

execFileSync(join(root, "node_modules/.bin/tsc"), ["-b"], { cwd: root, stdio: "inherit" })
mkdirSync(out, { recursive: true })
for (const [name, entry] of entries) {
  if (!existsSync(join(root, entry))) continue
  const lines = [`# ${name}`, ""]
  for (const file of modulesOf(join(root, entry))) {
    const declarations = documented(readFileSync(file, "utf8"))
    if (declarations.length === 0) continue
    lines.push(`## ${relative(join(root, dirname(entry)), file).replace(/\.d\.ts$/, "")}`, "")
    for (const { code, doc } of declarations) lines.push("```ts no-run", code, "```", "", doc, "")
  }
  const page = join(out, `${name.replace("@stillpoint/", "").replace("/", "-")}.md`)
  writeFileSync(page, lines.join("\n"))
  process.stdout.write(`${relative(root, page)}\n`)
}
