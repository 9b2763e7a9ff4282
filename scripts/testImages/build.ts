/**
 * Builds OCI images of real software: packages of Debian 13 for riscv64, fetched and verified as the guest kit is,
 * unpacked, and put into one layout by `umoci`, each under its name as a tag.
 *
 * ```text
 * node build.ts LAYOUT CACHE NAME...
 * ```
 *
 * Two layers each: what all have, and what is its own. Needs `umoci` and `dpkg-deb`; root keeps the owners of files.
 */
import { execFileSync } from "node:child_process"
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { Archive, type ArchivePackage } from "@stillpoint/kit"
import { Effect } from "effect"
import { baseFiles, basePackages, leftOut, type Recipe, recipes } from "./recipes.ts"

const say = (line: string): void => void process.stderr.write(`  … ${line}\n`)
const isRoot = process.getuid?.() === 0

/** Those packages and all that they depend on, as far as the archive has packages of these names. */
const closure = (
  all: ReadonlyMap<string, ArchivePackage>,
  names: ReadonlyArray<string>
): ReadonlyMap<string, ArchivePackage> => {
  const found = new Map<string, ArchivePackage>()
  const pending = [...names]
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    const item = all.get(name)
    if (item === undefined || found.has(name) || leftOut.has(name)) continue
    found.set(name, item)
    pending.push(...item.depends)
  }
  return found
}

const run = (program: string, ...args: ReadonlyArray<string>): void => {
  execFileSync(program, args, { stdio: ["ignore", "ignore", "inherit"] })
}

const put = (root: string, path: string, content: string, isExecutable = false): void => {
  const target = join(root, path)
  mkdirSync(dirname(target), { recursive: true })
  writeFileSync(target, content)
  chmodSync(target, isExecutable ? 0o755 : 0o644)
}

const umociConfig = (image: string, { config }: Recipe): void => {
  const each = (option: string, values: ReadonlyArray<string> = []) =>
    values.flatMap((value) => [`--config.${option}`, value])
  const one = (option: string, value: string | undefined) => (value === undefined ? [] : [`--config.${option}`, value])
  run(
    "umoci",
    "config",
    "--image",
    image,
    "--no-history",
    "--os",
    "linux",
    "--architecture",
    "riscv64",
    ...one("user", config.user),
    ...one("workingdir", config.workingDir),
    ...one("stopsignal", config.stopSignal),
    ...each("entrypoint", config.entrypoint),
    ...each("cmd", config.cmd),
    ...each("env", config.env),
    ...each("exposedports", config.exposedPorts),
    ...each("volume", config.volumes)
  )
}

const build = Effect.fn(function* (layout: string, cache: string, names: ReadonlyArray<string>) {
  const archive = yield* Archive
  mkdirSync(cache, { recursive: true })
  say("package index of Debian 13 for riscv64")
  const all = yield* archive.find(() => true)
  const fetched = Effect.fnUntraced(function* (packages: Iterable<ArchivePackage>, root: string) {
    for (const item of packages) {
      const deb = join(cache, `${item.sha256}-${basename(item.filename)}`)
      if (!existsSync(deb)) yield* archive.fetch(item, deb, () => {})
      run("dpkg-deb", "-x", deb, root)
    }
  })
  const staging = mkdtempSync(join(cache, "building-"))
  try {
    const base = join(staging, "base")
    mkdirSync(base)
    const basis = closure(all, basePackages)
    yield* fetched(basis.values(), base)
    for (const [path, content] of Object.entries(baseFiles)) put(base, path, content)
    if (!existsSync(join(layout, "index.json"))) run("umoci", "init", "--layout", layout)
    for (const name of names) {
      const recipe = recipes[name]
      if (recipe === undefined) throw new Error(`expected one of ${Object.keys(recipes).join(", ")}, found ${name}`)
      const own = [...closure(all, recipe.packages).values()].filter((item) => !basis.has(item.name))
      say(`${name}: ${own.map((item) => `${item.name} ${item.version}`).join(", ")}`)
      const root = join(staging, name)
      mkdirSync(root)
      chmodSync(root, 0o755)
      yield* fetched(own, root)
      for (const [path, { content, isExecutable }] of Object.entries(recipe.files)) {
        put(root, path, content, isExecutable)
      }
      for (const [path, { gid, mode, uid }] of Object.entries(recipe.folders)) {
        mkdirSync(join(root, path), { recursive: true })
        chmodSync(join(root, path), mode ?? 0o755)
        if (isRoot) chownSync(join(root, path), uid, gid)
      }
      const image = `${layout}:${name}`
      run("umoci", "new", "--image", image)
      const insert = isRoot ? ["insert"] : ["insert", "--rootless"]
      run("umoci", ...insert, "--image", image, base, "/")
      run("umoci", ...insert, "--image", image, root, "/")
      umociConfig(image, recipe)
    }
    run("umoci", "gc", "--layout", layout)
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
})

const [layout, cache, ...names] = process.argv.slice(2)
if (layout === undefined || cache === undefined || names.length === 0) {
  process.stderr.write("usage: build.ts LAYOUT CACHE NAME...\n")
  process.exitCode = 64
} else {
  await Effect.runPromise(Effect.provide(build(layout, cache, names), Archive.layer)).catch((error: unknown) => {
    process.stderr.write(`test images: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  })
}
