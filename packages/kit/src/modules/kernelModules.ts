/**
 * The modules of a kernel package that guests may need, and those that these need.
 *
 * @module
 */
import { gunzipSync, zstdDecompressSync } from "node:zlib"
import { unxz } from "../deb/unxz.ts"
import { leanModule } from "./leanModule.ts"
import { type ModuleInfo, moduleName, readModuleInfo } from "./moduleInfo.ts"
import { moduleOrder } from "./moduleOrder.ts"
import { Malformed } from "../Malformed.ts"

/**
 * Modules that guests may request by name. `erofs` and `ext4` compute checksums with `crc32c_generic`: they ask the kernel for
 * the algorithm, not for a module.
 */
export const kitModules = [
  "virtio_mmio",
  "virtio-rng",
  "virtio_blk",
  "virtio_net",
  "crc32c_generic",
  "erofs",
  "overlay",
  "ext4"
] as const

/** The paths of modules in the package. */
export const modulePath = /^(usr\/)?lib\/modules\/[^/]+\/kernel\/(.+\/)?([^/]+)\.ko(\.xz|\.zst|\.gz)?$/

/** The list of the kernel's built-in modules. */
export const builtInPath = /^(usr\/)?lib\/modules\/[^/]+\/modules\.builtin$/

const moduleBytesMax = 64 << 20

const unpacked = async (packed: Buffer): Promise<Buffer> => {
  const magic = packed.toString("hex", 0, 6)
  if (magic.startsWith("fd377a585a00")) return unxz(packed)
  if (magic.startsWith("28b52ffd")) return zstdDecompressSync(packed, { maxOutputLength: moduleBytesMax })
  return magic.startsWith("1f8b") ? gunzipSync(packed, { maxOutputLength: moduleBytesMax }) : packed
}

/** Names of the built-in modules, from the text of that list. */
export const builtInModules = (text: string): ReadonlySet<string> =>
  new Set(
    text
      .split("\n")
      .flatMap((line) => /([^/]+)\.ko$/.exec(line)?.[1] ?? [])
      .map(moduleName)
  )

/**
 * The {@link kitModules} that the package has and their dependencies, by name: decompressed and reduced to the loaded parts.
 * `packed` are all modules of the package by path. Rejects with {@link Malformed} if a dependency is missing.
 */
export const takeModules = async (
  packed: ReadonlyMap<string, Buffer>,
  builtIn: ReadonlySet<string>
): Promise<ReadonlyMap<string, Buffer>> => {
  const byName = new Map<string, readonly [name: string, content: Buffer]>()
  for (const [path, content] of packed) {
    const name = modulePath.exec(path)?.[3]
    if (name !== undefined) byName.set(moduleName(name), [name, content])
  }
  const taken = new Map<string, Buffer>()
  const infos = new Map<string, ModuleInfo>()
  const wanted = kitModules.map(moduleName).filter((name) => byName.has(name))
  // Adds missing dependencies until none is left.
  for (let missing: ReadonlyArray<string> = wanted; missing.length > 0;) {
    for (const each of missing) {
      const found = byName.get(each)
      if (found === undefined)
        throw new Malformed({ message: `expected the kernel module ${each} beside those that need it, found none` })
      const [name, content] = found
      const module = await unpacked(content)
      taken.set(name, leanModule(module))
      infos.set(name, readModuleInfo(module))
    }
    missing = moduleOrder(wanted, infos, builtIn).missing
  }
  return taken
}
