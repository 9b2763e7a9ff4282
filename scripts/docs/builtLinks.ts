/**
 * The links of a built site.
 *
 * @module
 */
import { existsSync, globSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"

const anchorsIn = (html: string): ReadonlySet<string> =>
  new Set([...html.matchAll(/ (?:id|name)="([^"]*)"/g)].map(([, id = ""]) => id))

/** Broken links between the pages of a folder: missing files and anchors. */
export const brokenInSite = (folder: string): ReadonlyArray<string> => {
  const texts = new Map(
    globSync("**/*.html", { cwd: folder }).map((path) => [path, readFileSync(join(folder, path), "utf8")])
  )
  const anchors = new Map([...texts].map(([path, html]) => [path, anchorsIn(html)]))
  const broken = new Set<string>()
  for (const [page, html] of texts) {
    for (const [, href = ""] of html.matchAll(/<a [^>]*?href="([^"]*)"/g)) {
      if (href === "" || /^[a-z]+:/.test(href)) continue
      const [file = "", anchor = ""] = href.replaceAll("&amp;", "&").split("#")
      const path = file === "" ? page : relative(folder, join(folder, dirname(page), decodeURI(file)))
      const found = anchors.get(path)
      const isThere =
        found === undefined ? existsSync(join(folder, path)) : anchor === "" || found.has(decodeURI(anchor))
      if (!isThere) broken.add(`${page}: ${href} leads nowhere`)
    }
  }
  return [...broken]
}
