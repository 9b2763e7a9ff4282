import { Malformed } from "../Malformed.ts"
/**
 * The information in a kernel module: the section `.modinfo` of its ELF file, `key=value` ended by zeros.
 *
 * A Debian kernel package has no `modules.dep`: `depmod` creates it at installation, from the same modules. Each module
 * contains its dependencies, as written by the kernel's build.
 *
 * @module
 */

/** A module's own words. */
export interface ModuleInfo {
  /** Modules whose symbols it uses. */
  readonly depends: ReadonlyArray<string>
  /** Modules to load before it, by names or aliases. */
  readonly before: ReadonlyArray<string>
  /** Other names of the module. */
  readonly aliases: ReadonlyArray<string>
}

/** A module's name as the kernel has it: a file may be written with hyphens. */
export const moduleName = (name: string): string => name.replaceAll("-", "_")

const listOf = (text: string, separator: RegExp): ReadonlyArray<string> =>
  text.split(separator).filter((item) => item !== "")

/** Reads a 64-bit little-endian module. Throws {@link Malformed} with the problem. */
export const readModuleInfo = (bytes: Buffer): ModuleInfo => {
  const bad = (what: string) =>
    new Malformed({ message: `expected a kernel module, a 64-bit little-endian ELF file, found ${what}` })
  if (bytes.length < 64 || bytes.toString("latin1", 0, 6) !== "\u007fELF\u0002\u0001") throw bad("something else")
  const at = Number(bytes.readBigUInt64LE(0x28))
  const [size, count, names] = [bytes.readUInt16LE(0x3a), bytes.readUInt16LE(0x3c), bytes.readUInt16LE(0x3e)]
  if (size < 64 || names >= count || at + size * count > bytes.length) throw bad("one whose sections lie outside of it")
  const section = (index: number) => {
    const header = bytes.subarray(at + index * size, at + (index + 1) * size)
    const [offset, length] = [Number(header.readBigUInt64LE(0x18)), Number(header.readBigUInt64LE(0x20))]
    return { name: header.readUInt32LE(0), content: bytes.subarray(offset, offset + length) }
  }
  const nameTable = section(names).content
  for (let index = 0; index < count; index++) {
    const { content, name } = section(index)
    const end = nameTable.indexOf(0, name)
    if (nameTable.toString("latin1", name, Math.max(end, name)) !== ".modinfo") continue
    const pairs = listOf(content.toString("utf8"), /\0/)
    const valuesOf = (key: string) =>
      pairs.filter((each) => each.startsWith(`${key}=`)).map((each) => each.slice(key.length + 1))
    const softly = valuesOf("softdep").map((text) => /pre:(.*?)(post:|$)/.exec(text)?.[1] ?? "")
    return {
      depends: valuesOf("depends")
        .flatMap((text) => listOf(text, /,/))
        .map(moduleName),
      before: softly.flatMap((text) => listOf(text, /\s+/)).map(moduleName),
      aliases: valuesOf("alias").map(moduleName)
    }
  }
  throw bad("one without .modinfo")
}
