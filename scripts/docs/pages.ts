/**
 * The pages of the site, and the links between them.
 *
 * @module
 */
import { existsSync, globSync, readFileSync, statSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"

/** The repository. */
export const root = fileURLToPath(new URL("../..", import.meta.url))

/** One page of prose. */
export interface Page {
  /** Path of the Markdown file in the repository. */
  readonly path: string
  /** Heading in the navigation. */
  readonly group: string
}

/** The navigation, in order. Every Markdown file below `docs/` is in one of the groups. */
const groups: ReadonlyArray<readonly [group: string, patterns: ReadonlyArray<string>]> = [
  ["Tutorial", ["docs/first-snapshot.md"]],
  [
    "How-to guides",
    [
      "docs/how-to/install.md",
      "docs/guide.md",
      "docs/how-to/choose-a-moment.md",
      "docs/how-to/write-a-trigger.md",
      "docs/how-to/serve-clones.md",
      "docs/how-to/operate.md"
    ]
  ],
  ["Reference", ["docs/glossary.md", "docs/formats.md", "SECURITY.md"]],
  ["Explanation", ["docs/comparison.md", "docs/dependencies.md", "docs/design/*.md"]],
  ["Contributing", ["CONTRIBUTING.md"]]
]

/** Headings of the navigation, in order. */
export const groupNames: ReadonlyArray<string> = groups.map(([group]) => group)

/** All pages of the site but its first, which is the README. */
export const pages: ReadonlyArray<Page> = groups.flatMap(([group, patterns]) =>
  patterns.flatMap((pattern) => globSync(pattern, { cwd: root }).toSorted()).map((path) => ({ path, group }))
)

/** The page that the site opens with. */
export const home = "README.md"

/** Text without its code, line by line, so that nothing in a program is taken for a link or a heading. */
const prose = (text: string): string =>
  text.replace(/^( *)(`{3,}|~{3,}).*?^\1\2 *$/gms, "").replace(/`[^`\n]*`/g, "code")

const linkPattern = /(?<!!)\[(?<text>(?:`[^`]*`|[^\]`])*)\]\((?<target>[^()\s]+)\)/g

/** The first heading of a page. */
export const titleOf = (text: string): string => /^# (.+)$/m.exec(text)?.[1] ?? ""

/** The anchors of a page's headings, as GitHub and TypeDoc make them. */
export const anchorsOf = (text: string): ReadonlySet<string> =>
  new Set(
    [...text.replace(/^( *)(`{3,}|~{3,}).*?^\1\2 *$/gms, "").matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = ""]) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-")
    )
  )

/** The target of a page's link: a path in the repository and an anchor; `null` for another site. */
export const destinationOf = (
  page: string,
  target: string
): { readonly path: string; readonly anchor: string } | null => {
  if (/^[a-z]+:/.test(target)) return null
  const [file = "", anchor = ""] = target.split("#")
  const path = file === "" ? page : relative(root, join(root, dirname(page), file))
  return { path, anchor }
}

/** Broken links of a page: missing files and headings. */
export const brokenLinks = (page: string, text: string): ReadonlyArray<string> =>
  [...prose(text).matchAll(linkPattern)].flatMap(({ groups: found }) => {
    const target = found?.["target"] ?? ""
    const destination = destinationOf(page, target)
    if (destination === null) return []
    const { anchor, path } = destination
    const file = join(root, path)
    if (!existsSync(file)) return [`${page}: ${target} leads to ${path}, which does not exist`]
    if (anchor === "" || !statSync(file).isFile()) return []
    return anchorsOf(readFileSync(file, "utf8")).has(anchor)
      ? []
      : [`${page}: ${target} leads to no heading of ${path}`]
  })

const comment = /\/\*[\s\S]*?\*\/|\/\/.*$/gm
const declared = /^export (?:abstract )?(?:const|class|function|interface|type) ([\p{L}\p{N}$_]+)/gmu

/** The names that a module exports. */
export const exportedNames = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(declared)].map(([, name = ""]) => name)

/** Links of a module's docstrings that the site shows as plain text: to names that neither the module has nor its package exports. */
export const unknownInDocstrings = (text: string, exported: ReadonlySet<string>): ReadonlyArray<string> => {
  const own = new Set(text.replace(comment, "").match(/[\p{L}$_][\p{L}\p{N}$_]*/gu))
  const targets = [...text.matchAll(/\{@link\s+(?:\*\s+)?([^\s}|]+)/g)].map(([, target = ""]) => target)
  return targets.filter((target) => {
    const name = target.split(/[.#]/)[0] ?? ""
    return !own.has(name) && !exported.has(name)
  })
}

/** A page as the site has it: links to other pages stay, links to files of the repository become their names. */
export const onSite = (page: string, text: string): string => {
  const onIt = new Set([home, ...pages.map(({ path }) => path)])
  const lines = text.split("\n")
  let fence: string | undefined
  return lines
    .map((line) => {
      const mark = /^ *(`{3,}|~{3,})/.exec(line)?.[1]
      if (mark !== undefined && (fence === undefined || mark === fence)) {
        fence = fence === undefined ? mark : undefined
        return line
      }
      if (fence !== undefined) return line
      return line.replace(linkPattern, (whole, linkText: string, target: string) => {
        const destination = destinationOf(page, target)
        if (destination === null || onIt.has(destination.path)) return whole
        return linkText.startsWith("`") ? linkText : `${linkText} (\`${destination.path}\`)`
      })
    })
    .join("\n")
}
