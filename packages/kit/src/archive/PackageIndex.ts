/**
 * The packages of an archive, as its `Packages` file lists them: stanzas of fields, separated by empty lines.
 *
 * Source: Debian Policy, chapter 5, and the Debian repository format.
 *
 * @module
 */
import { compareDebianVersions } from "./debianVersion.ts"
import type { Described } from "./ReleaseIndex.ts"

/** One package of the archive. */
export interface ArchivePackage extends Described {
  readonly name: string
  readonly version: string
  /** Path below the archive's root. */
  readonly filename: string
  /** The names that its `Depends` field mentions, in order. */
  readonly depends: ReadonlyArray<string>
}

/** Reads stanzas one at a time out of text that arrives in pieces, so that no whole index is ever held. */
export class PackageReader {
  private rest = ""
  private readonly wanted: (name: string) => boolean
  /** The packages that were wanted, by name; of several versions the newest. */
  readonly found = new Map<string, ArchivePackage>()

  constructor(wanted: (name: string) => boolean) {
    this.wanted = wanted
  }

  /** Takes the next piece of the text. */
  push(text: string): void {
    this.rest += text
    for (let end = this.rest.indexOf("\n\n"); end >= 0; end = this.rest.indexOf("\n\n")) {
      this.stanza(this.rest.slice(0, end))
      this.rest = this.rest.slice(end + 2)
    }
  }

  /** Processes the rest at the end of the text. */
  end(): void {
    this.stanza(this.rest)
    this.rest = ""
  }

  private stanza(text: string): void {
    const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(text)?.[1]
    const name = field("Package")
    if (name === undefined || !this.wanted(name)) return
    const [version, filename, size, sha256] = [field("Version"), field("Filename"), field("Size"), field("SHA256")]
    if (version === undefined || filename === undefined || size === undefined || sha256 === undefined) return
    if (!isPoolPath(filename) || !/^\d{1,15}$/.test(size) || !/^[0-9a-f]{64}$/.test(sha256)) return
    const known = this.found.get(name)
    if (known !== undefined && compareDebianVersions(known.version, version) >= 0) return
    const depends = (field("Depends") ?? "").split(/[,|]/).map((item) => item.trim().split(/[\s(:]/)[0] ?? "")
    this.found.set(name, { name, version, filename, sizeBytes: Number(size), sha256, depends })
  }
}

/** Whether `path` stays below the root that it is joined to. */
export const isPoolPath = (path: string): boolean =>
  /^[A-Za-z0-9][A-Za-z0-9._+~:/-]*$/.test(path) && !path.split("/").includes("..")
