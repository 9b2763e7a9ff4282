/** The packages as their users get them: packed, installed into a project elsewhere, run. */
import { execFileSync, spawnSync } from "node:child_process"
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { basename, delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core"
import { defaultDirectory } from "@stillpoint/kit"
import { publint } from "publint"
import { formatMessage } from "publint/utils"
import { build } from "vite"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { hostPlatform, packageOf } from "../../packages/native/src/binding/addonFiles.ts"
import { packAll, packedDirectories } from "./pack.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const pnpm = join(root, ".tools/pnpm/node_modules/.bin/pnpm")
const kit = defaultDirectory()

interface PackageJson {
  readonly name: string
  readonly keywords?: ReadonlyArray<string>
  readonly license?: string
  readonly files?: ReadonlyArray<string>
  readonly repository?: unknown
  readonly private?: boolean
  readonly publishConfig?: unknown
  readonly exports: Readonly<Record<string, Readonly<Record<string, string>> | null>>
  readonly bin?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
}

const readPackage = (path: string): PackageJson => JSON.parse(readFileSync(path, "utf8"))

const directories = packedDirectories

/** Folders of all that the packages depend on, but peers and each other, as they are installed here. */
const dependencies = (): ReadonlyArray<string> => {
  const found = new Map<string, string>()
  const visit = (directory: string, neighbours: string): void => {
    for (const name of Object.keys(readPackage(join(directory, "package.json")).dependencies ?? {})) {
      if (name.startsWith("@stillpoint/") || found.has(name)) continue
      const folder = realpathSync(join(neighbours, name))
      found.set(name, folder)
      // pnpm keeps what a package needs beside it.
      visit(folder, join(folder, ...name.split("/").map(() => "..")))
    }
  }
  for (const directory of directories) visit(join(root, directory), join(root, directory, "node_modules"))
  return [...found.values()]
}

const isThere = (program: string): boolean => spawnSync(program, ["--version"]).status === 0
const why = [
  ...(existsSync(pnpm) ? [] : [`${pnpm} is missing`]),
  ...(isThere("strip") ? [] : ["strip (binutils) is not installed"]),
  ...(isThere("npm") ? [] : ["npm is not installed"]),
  ...(isThere("riscv64-linux-gnu-gcc") ? [] : ["the cross compiler of the agent is not installed"]),
  ...(isThere("cargo") ? [] : ["cargo is not installed"]),
  ...(existsSync(join(kit, "packages")) ? [] : [`no guest kit in ${kit}`])
].join(", ")

/** A program that boots a guest and prints what a command in it said; `guestKit` is its layer of the kit. */
const booting = (guestKit: string) => `
import { DurableFiles, GuestAgent, Vmm } from "@stillpoint/core"
import { Archive, defaultGuestKitConfig, GuestKit } from "@stillpoint/kit"
import { NativeAgent, NativeVmm } from "@stillpoint/native"
import { onPreExec } from "@stillpoint/triggers"
import { Effect, Layer } from "effect"

const program = Effect.gen(function* () {
  const machine = yield* (yield* Vmm).boot(yield* (yield* GuestKit).guest({}))
  yield* machine.run({ kinds: ["AgentReady"] })
  const { stdout } = yield* machine.exec({ argv: ["echo", onPreExec().name] })
  return new TextDecoder().decode(stdout).trimEnd()
})
const layer = Layer.merge(NativeVmm.layer, ${guestKit})
console.log(await Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(layer))))
`

const program = booting("Layer.provide(GuestKit.layer, NativeAgent.layer)")

/** A bundle contains no files of the packages: it is given the place of their installation. */
const bundled = booting(`GuestKit.layerNoDeps({
  ...defaultGuestKitConfig(),
  lockPath: "node_modules/@stillpoint/kit/guest-kit.lock.json"
}).pipe(
  Layer.provide(GuestAgent.layerFile("node_modules/@stillpoint/native/agent/build/agent", "install @stillpoint/native")),
  Layer.provide([Archive.layer, DurableFiles.layer])
)`)

/** How packages are published. */
const provenance = { access: "public", provenance: true }

/** Hosts of registries, which move and are not ours to name: a package's name says where it is for whoever installs it. */
const registryHosts = /npmjs\.|unpkg\.com|jsr\.io|crates\.io|docs\.rs|pkg\.github\.com/

for (const directory of directories) {
  it(`${directory}-says-what-it-is-under-which-licence-and-nothing-that-is-not-known`, () => {
    const found = readPackage(join(root, directory, "package.json"))
    assert.strictEqual(found.license, "Apache-2.0")
    assert.isNotEmpty(found.keywords)
    // Whoever publishes it says with a signature what it was built from, and where.
    assert.isUndefined(found.private)
    assert.deepStrictEqual(found.publishConfig, provenance)
    assert.include(found.files ?? [], "dist")
    // Where the repository is to be reached is not known yet: an address that leads nowhere, or to others, is worse than none.
    assert.isUndefined(found.repository)
    const readme = readFileSync(join(root, directory, "README.md"), "utf8")
    assert.isTrue(readme.startsWith(`# ${found.name}\n`))
    assert.notMatch(readme, registryHosts)
    assert.notMatch(JSON.stringify(found), registryHosts)
  })
}

describe.skipIf(why !== "")(`packed packages${why === "" ? "" : ` (skipped: ${why})`}`, () => {
  /** A user's project, at a path with spaces and the like. */
  let project = ""
  let packed: ReadonlyArray<string> = []
  const installed = (name: string) => join(project, "node_modules", name)
  const env = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env["PATH"] ?? ""}` }

  beforeAll(() => {
    project = mkdtempSync(join(tmpdir(), "stillpoint é packed "))
    packed = packAll(project)
    const tarballs = [...packed]
    writeFileSync(join(project, "package.json"), `{ "name": "somebody", "private": true, "type": "module" }\n`)
    // Their dependencies are packed as installed here, and peers are linked below: no registry is contacted.
    for (const [index, folder] of dependencies().entries()) {
      const tarball = join(project, `dependency-${index}.tgz`)
      execFileSync("tar", ["-czf", tarball, "-C", dirname(folder), basename(folder)])
      tarballs.push(tarball)
    }
    const args = ["install", "--offline", "--legacy-peer-deps", "--no-audit", "--no-fund", "--loglevel=error"]
    execFileSync("npm", [...args, "--cache", join(project, "npm-cache"), ...tarballs], { cwd: project, env })
    mkdirSync(join(project, "node_modules/@types"), { recursive: true })
    for (const peer of ["effect", "rxjs", "fast-check", "@types/node"]) {
      // Node's types are here already where a dependency brings them.
      if (!existsSync(installed(peer))) symlinkSync(realpathSync(join(root, "node_modules", peer)), installed(peer))
    }
  })

  afterAll(() => rmSync(project, { recursive: true, force: true }))

  for (const directory of directories) {
    const { name } = readPackage(join(root, directory, "package.json"))

    it(`${name}-holds-what-it-names-and-no-tests`, () => {
      const found = readPackage(join(installed(name), "package.json"))
      const files = globSync("**/*", { cwd: installed(name) })
      const named = Object.values(found.exports).flatMap((conditions) => Object.values(conditions ?? {}))
      // The agent for either platform, where this host has compilers for both.
      const agents = ["agent/build/agent", ...(process.arch === "x64" ? ["agent/build/agent-amd64"] : [])]
      const programs = [...Object.values(found.bin ?? {}), ...(name === "@stillpoint/native" ? agents : [])]
      for (const path of [...named, ...programs, "README.md", "LICENSE"]) {
        assert.isTrue(existsSync(join(installed(name), path)), path)
      }
      assert.deepStrictEqual(
        files.filter((path) => /\.test\.|tsbuildinfo/.test(path)),
        []
      )
      // Output of a source that is gone must not be published.
      for (const path of files.filter((file) => /^dist\/.*\.js$/.test(file))) {
        const source = path.replace(/^dist/, "src").replace(/js$/, "ts")
        assert.isTrue(existsSync(join(root, directory, source)), `${path} has no source`)
      }
      assert.deepStrictEqual(
        Object.values(found.dependencies ?? {}).filter((version) => version.startsWith("workspace:")),
        []
      )
    })

    it(`every-entry-of-${name}-loads`, () => {
      const entries = Object.entries(readPackage(join(installed(name), "package.json")).exports)
      const specifiers = entries.filter(([, value]) => value !== null).map(([entry]) => join(name, entry))
      const text = specifiers.map((specifier) => `await import(${JSON.stringify(specifier)})`).join("\n")
      // A user who sets this condition for other packages does not get our sources.
      const args = ["--conditions=source", "--input-type=module", "-e", text]
      const ran = spawnSync(process.execPath, args, { cwd: project, encoding: "utf8" })
      assert.strictEqual(ran.status, 0, ran.stderr)
    })
  }

  it("a-guest-boots-and-answers-where-the-packages-are-installed", () => {
    writeFileSync(join(project, "boot.mjs"), program)
    const ran = spawnSync(process.execPath, ["boot.mjs"], {
      cwd: project,
      env: { ...env, STILLPOINT_KIT_DIR: kit },
      encoding: "utf8"
    })
    assert.strictEqual(ran.stdout, "onPreExec\n", ran.stderr)
  })

  /** Runs the installed command in the project. */
  const stillpoint = (...args: ReadonlyArray<string>) => {
    const home = join(project, "home")
    const { status, stderr, stdout } = spawnSync(join(project, "node_modules/.bin/stillpoint"), args, {
      cwd: project,
      env: { ...env, STILLPOINT_HOME: home, STILLPOINT_KIT_DIR: kit },
      encoding: "utf8"
    })
    return { status, stdout, stderr }
  }

  it("sizes-are-those-that-the-page-about-installing-states", () => {
    const page = readFileSync(join(root, "docs/how-to/install.md"), "utf8")
    const numbers = (form: RegExp): ReadonlyArray<number> => (form.exec(page) ?? []).slice(1).map(Number)
    const addon = packed.filter((tarball) => tarball.includes(hostPlatform()))
    const libraries = packed.filter((tarball) => !/-native-(?:linux|darwin)-/.test(basename(tarball)))
    const mib = (paths: ReadonlyArray<string>) => paths.reduce((sum, path) => sum + statSync(path).size, 0) / 2 ** 20
    const folder = installed(packageOf(hostPlatform()))
    const files = globSync("**/*", { cwd: folder, withFileTypes: true }).filter((entry) => entry.isFile())
    const unpacked = mib(files.map((entry) => join(entry.parentPath, entry.name)))
    const stated = [
      ...numbers(/The libraries are the same everywhere, ([\d.]+) MiB packed/),
      ...numbers(new RegExp(`${packageOf(hostPlatform())}\` \\| ([\\d.]+) and ([\\d.]+) MiB`))
    ]
    const found = [mib(libraries), mib(addon), unpacked]
    // As they are said to a reader: a tenth more or less is the same.
    const isSame = (index: number) => Math.abs((stated[index] ?? 0) / (found[index] ?? 1) - 1) < 0.1
    assert.isTrue([0, 1, 2].every(isSame), `the page states ${stated.join(", ")} MiB, found ${found.join(", ")}`)
  })

  it("the-command-is-one-file-that-finds-the-files-of-the-packages-where-they-are-installed", () => {
    const help = stillpoint("--help")
    assert.strictEqual(help.status, 0, help.stderr)
    assert.include(help.stdout, "bake")
    const doctor = stillpoint("doctor", "--json")
    assert.include(doctor.stdout, join(realpathSync(installed("@stillpoint/native")), "agent/build/agent"))
    assert.include(doctor.stdout, "loaded")
    // The program is one file: another in its place runs instead.
    const whole = join(installed("stillpoint"), "whole/main.js")
    const text = readFileSync(whole, "utf8")
    writeFileSync(whole, "console.log('the one file')")
    assert.strictEqual(stillpoint("--version").stdout, "the one file\n")
    writeFileSync(whole, text)
  })

  it("a-policy-of-a-file-is-of-the-libraries-that-are-installed", () => {
    const recorded = join(root, "fixtures/timelines/quick-service.ndjson")
    writeFileSync(
      join(project, "policy.mjs"),
      "import { onListener } from '@stillpoint/triggers'\nexport default onListener()\n"
    )
    const asExpression = stillpoint("replay", recorded, "--at", "listener", "--json")
    assert.strictEqual(asExpression.status, 0, asExpression.stderr)
    for (const at of [["--at", "./policy.mjs"], ["--at=policy.mjs"]]) {
      assert.deepStrictEqual(stillpoint("replay", recorded, ...at, "--json"), asExpression, at.join(" "))
    }
  })

  it("publint-and-attw-have-nothing-to-say", async () => {
    for (const tarball of packed) {
      const bytes = new Uint8Array(readFileSync(tarball)).buffer
      const { messages, pkg = {} } = await publint({ pack: { tarball: bytes }, strict: true })
      assert.deepStrictEqual(
        messages.map((message) => `${basename(tarball)}: ${formatMessage(message, pkg, { color: false })}`),
        []
      )
      if (tarball.includes(hostPlatform())) continue
      const { problems = [] } = (await checkPackage(createPackageFromTarballData(new Uint8Array(bytes)))) as {
        readonly problems?: ReadonlyArray<{ readonly kind: string; readonly resolutionKind?: string }>
      }
      // Modules of ECMAScript alone, for Node from 22 on: what `require` of before sees of them, and resolution of Node 10, are not theirs.
      const ours = problems.filter(
        ({ kind, resolutionKind }) => kind !== "CJSResolvesToESM" && resolutionKind !== "node10"
      )
      assert.deepStrictEqual(ours, [], basename(tarball))
    }
  })

  for (const resolution of ["nodenext", "bundler"]) {
    it(`a-program-type-checks-with-module-resolution-${resolution}`, () => {
      writeFileSync(join(project, "boot.ts"), program)
      const module = resolution === "bundler" ? "esnext" : resolution
      const options = [
        "--strict",
        "--noEmit",
        "--target",
        "es2024",
        "--lib",
        "es2024,esnext.disposable,dom",
        "--types",
        "node"
      ]
      const tsc = join(root, "node_modules/.bin/tsc")
      // Without --skipLibCheck: whether the declarations themselves are right is asked, too.
      const args = [...options, "--module", module, "--moduleResolution", resolution, "boot.ts"]
      const ran = spawnSync(tsc, args, { cwd: project, env, encoding: "utf8" })
      assert.strictEqual(ran.stdout, "")
    })
  }

  it("a-guest-boots-on-a-thread-of-its-own", () => {
    writeFileSync(join(project, "boot.mjs"), program)
    writeFileSync(
      join(project, "thread.mjs"),
      `import { Worker } from "node:worker_threads"\nnew Worker(new URL("boot.mjs", import.meta.url))\n`
    )
    const ran = spawnSync(process.execPath, ["thread.mjs"], {
      cwd: project,
      env: { ...env, STILLPOINT_KIT_DIR: kit },
      encoding: "utf8"
    })
    assert.strictEqual(ran.stdout, "onPreExec\n", ran.stderr)
  })

  it("a-bundle-finds-the-addon-where-it-is-installed", async () => {
    writeFileSync(join(project, "boot.mjs"), bundled)
    await build({
      root: project,
      configFile: false,
      logLevel: "error",
      ssr: { noExternal: true },
      build: { ssr: "boot.mjs", outDir: "bundle", minify: false, target: "node22" }
    })
    const [bundle = ""] = globSync("bundle/boot.*js", { cwd: project })
    assert.deepStrictEqual(globSync("bundle/**/*.node", { cwd: project }), [])
    const text = readFileSync(join(project, bundle), "utf8")
    assert.include(text, "@stillpoint/native-")
    const ran = spawnSync(process.execPath, [bundle], {
      cwd: project,
      env: { ...env, STILLPOINT_KIT_DIR: kit },
      encoding: "utf8"
    })
    assert.strictEqual(ran.stdout, "onPreExec\n", ran.stderr)
  })

  it("what-an-installed-package-lacks-is-named-with-what-to-do", () => {
    writeFileSync(join(project, "boot.mjs"), program)
    const addon = packageOf(hostPlatform())
    rmSync(installed(addon), { recursive: true })
    const ran = spawnSync(process.execPath, ["boot.mjs"], { cwd: project, env, encoding: "utf8" })
    assert.notStrictEqual(ran.status, 0)
    assert.include(ran.stderr, addon)
    assert.include(ran.stderr, "optional dependencies")
    assert.include(ran.stderr, "make setup")
  })
})
