/**
 * Packs every package as it will be installed: the libraries, and the addon of this host's platform as a package of its own,
 * which `@stillpoint/native` names among its optional dependencies.
 *
 * ```text
 * stillpoint-native-0.1.0.tgz                    TypeScript and the guest's agent, for every platform
 * stillpoint-native-linux-x64-gnu-0.1.0.tgz      the addon, stripped, for that platform alone
 * stillpoint-native-linux-arm64-gnu-0.1.0.tgz    the same for another, where `scripts/setup/arm64.sh` has built it
 * stillpoint-native-darwin-arm64-0.1.0.tgz       the same, of `--addon darwin-arm64=FILE`
 * ```
 *
 * The agent is a program of the guest's: it is the same on every host.
 *
 * @module
 */
import { execFileSync } from "node:child_process"
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import {
  hostPlatform,
  packageOf,
  prebuiltPlatforms,
  untestedPlatforms
} from "../../packages/native/src/binding/addonFiles.ts"

import { addonKind } from "./addonFormat.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const pnpm = join(root, ".tools/pnpm/node_modules/.bin/pnpm")

/** Folders of the packages that are packed. */
export const packedDirectories: ReadonlyArray<string> = globSync("packages/*/package.json", { cwd: root })
  .map((path) => dirname(path))
  .toSorted()

type PackageJson = Record<string, unknown> & { readonly name: string; readonly version: string }
const readJson = (path: string): PackageJson => JSON.parse(readFileSync(path, "utf8"))
const writeJson = (path: string, value: unknown): void => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`)

/** Archives a folder `package`; equal files give equal archives. */
const archive = (folder: string, tarball: string): void => {
  const stable = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"]
  execFileSync("tar", [...stable, "-czf", tarball, "-C", folder, "package"])
}

const inFolder = <A>(work: (folder: string) => A): A => {
  const folder = mkdtempSync(join(tmpdir(), "stillpoint-pack-"))
  try {
    return work(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Takes the addon out of the packed package, and names those that hold one: the usual ones, and further ones. */
const withoutAddon = (tarball: string, further: ReadonlyArray<string>): void =>
  inFolder((folder) => {
    execFileSync("tar", ["-xzf", tarball, "-C", folder])
    const path = join(folder, "package/package.json")
    const found = readJson(path)
    const { version } = found
    const files = (found["files"] as ReadonlyArray<string>).filter((name) => name !== "stillpoint.node")
    const platforms = [...new Set([...prebuiltPlatforms, ...further])]
    const optionalDependencies = Object.fromEntries(platforms.map((platform) => [packageOf(platform), version]))
    writeJson(path, { ...found, files, optionalDependencies })
    rmSync(join(folder, "package/stillpoint.node"))
    archive(folder, tarball)
  })

/** The platforms that an addon can be packed for. */
const packedPlatforms = [...prebuiltPlatforms, ...untestedPlatforms]

/** Reads the values of `--addon`, `PLATFORM=FILE`: the file must be an addon of that platform. */
export const readAddons = (given: ReadonlyArray<string>): ReadonlyMap<string, string> =>
  new Map(
    given.map((text) => {
      const [, platform = "", file = ""] = /^([^=]*)=(.+)$/.exec(text) ?? []
      if (!packedPlatforms.includes(platform)) {
        throw new Error(`--addon: expected PLATFORM=FILE, a platform of ${packedPlatforms.join(", ")}, found ${text}`)
      }
      const kind = addonKind(file)
      if (!platform.startsWith(kind))
        throw new Error(`--addon: expected in ${file} an addon of ${platform}, found ${kind}`)
      return [platform, file] as const
    })
  )

/** The path of a platform's addon, where it was built: this host's, or another's. */
const addonOf = (platform: string): string =>
  platform === hostPlatform()
    ? join(root, "packages/native/stillpoint.node")
    : join(root, ".cache/addon", platform, "stillpoint.node")

/** The program that strips addons of a platform here; `null` if there is none: a Mac signs what it builds, and other hosts have no tool. */
const stripOf = (platform: string): string | null =>
  platform === hostPlatform() ? "strip" : platform.startsWith("linux") ? "aarch64-linux-gnu-strip" : null

/** The package of a platform's addon: `os`, `cpu` and `libc` restrict where it is installed. */
export const packAddon = (platform: string, destination: string, built = addonOf(platform)): string =>
  inFolder((folder) => {
    const native = readJson(join(root, "packages/native/package.json"))
    const [os = "", cpu = "", libc] = platform.split("-")
    const name = packageOf(platform)
    const main = `stillpoint.${platform}.node`
    mkdirSync(join(folder, "package"))
    writeJson(join(folder, "package/package.json"), {
      name,
      version: native.version,
      description: `The addon of @stillpoint/native for ${platform}`,
      license: native["license"],
      publishConfig: native["publishConfig"],
      engines: native["engines"],
      os: [os],
      cpu: [cpu],
      ...(libc === undefined ? {} : { libc: [libc === "gnu" ? "glibc" : libc] }),
      // An addon is loaded with `require`.
      type: "commonjs",
      main,
      files: [main]
    })
    writeFileSync(
      join(folder, "package/README.md"),
      `# ${name}\n\nThe addon of \`@stillpoint/native\` for ${platform}. It is installed with it, and is not used alone.\n`
    )
    copyFileSync(join(root, "LICENSE"), join(folder, "package/LICENSE"))
    const addon = join(folder, "package", main)
    // Names of functions in a stack are of no use without the sources, and are two thirds of it.
    const strip = stripOf(platform)
    if (strip === null) copyFileSync(built, addon)
    else execFileSync(strip, [os === "darwin" ? "-x" : "--strip-unneeded", "-o", addon, built])
    const tarball = join(destination, `stillpoint-native-${platform}-${native.version}.tgz`)
    archive(folder, tarball)
    return tarball
  })

/**
 * Removes files from `dist` that have no source any more. If a source has no output, compiles the whole package again, because
 * the compiler trusts its own records and does not check.
 */
const matchOutputs = (directory: string): void => {
  const [source, output] = [join(directory, "src"), join(directory, "dist")]
  for (const path of globSync("**/*.*", { cwd: output })) {
    if (!existsSync(join(source, path.replace(/(\.d)?\.[jt]s(\.map)?$/, ".ts"))))
      rmSync(join(output, path), { force: true })
  }
  const isWhole = globSync("**/*.ts", { cwd: source }).every((path) =>
    existsSync(join(output, path.replace(/ts$/, "js")))
  )
  if (isWhole) return
  for (const path of globSync("*.tsbuildinfo", { cwd: directory })) rmSync(join(directory, path))
}

/**
 * Packs everything into a folder and returns the tarballs, that of this host's addon last. `others`: further platforms whose
 * addon is packed; `given`: where a platform's addon is, if not in its usual place.
 */
export const packAll = (
  destination: string,
  others: ReadonlyArray<string> = [],
  given: ReadonlyMap<string, string> = new Map()
): ReadonlyArray<string> => {
  mkdirSync(destination, { recursive: true })
  // Compiled together, because each package's script would compile its dependencies again.
  for (const directory of packedDirectories) matchOutputs(join(root, directory))
  execFileSync(process.execPath, ["--conditions=stillpoint-source", join(root, "scripts/bundling/command.ts")])
  execFileSync(join(root, "node_modules/.bin/tsc"), ["-b", ...packedDirectories], { cwd: root })
  const tarballs = packedDirectories.map((directory) => {
    const args = ["pack", "--config.ignore-scripts=true", "--pack-destination", destination, "--json"]
    const packed = execFileSync(pnpm, args, { cwd: join(root, directory), encoding: "utf8" })
    const { filename } = JSON.parse(packed.slice(packed.indexOf("{"))) as { readonly filename: string }
    if (directory === "packages/native") withoutAddon(filename, [...others, hostPlatform()])
    return filename
  })
  return [
    ...tarballs,
    ...others.map((platform) => packAddon(platform, destination, given.get(platform))),
    packAddon(hostPlatform(), destination, given.get(hostPlatform()))
  ]
}

if (import.meta.main) {
  const destination = join(root, ".cache/packed")
  rmSync(destination, { recursive: true, force: true })
  const { addon } = parseArgs({ options: { addon: { type: "string", multiple: true, default: [] } } }).values
  const given = readAddons(addon)
  const others = packedPlatforms.filter(
    (platform) => platform !== hostPlatform() && (given.has(platform) || existsSync(addonOf(platform)))
  )
  for (const tarball of packAll(destination, others, given)) {
    const mebibytes = (statSync(tarball).size / 2 ** 20).toFixed(2)
    console.log(`${mebibytes.padStart(8)} MiB  .cache/packed/${basename(tarball)}`)
  }
}
