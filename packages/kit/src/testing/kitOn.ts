/**
 * Kits for tests, each of an archive on this host.
 *
 * @module
 */
import { DurableFiles, GuestAgent, type GuestPlatform } from "@stillpoint/core"
import { Effect, Layer } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { TestClock } from "effect/testing"
import { GuestKit } from "../GuestKit.ts"
import type { GuestKitConfig } from "../GuestKitConfig.ts"
import { type LocalArchive, localArchiveOf } from "./LocalArchive.ts"

/** A kit in its own folder, with a lock of the archive's first content. */
export const kitOn = Effect.fn(function* (archive: LocalArchive, platform: GuestPlatform = "riscv64") {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-kit-"))),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
  )
  const notices: Array<string> = []
  const config = {
    directory: join(folder, "cache"),
    platform,
    lockPath: join(folder, "lock.json"),
    onNotice: (line: string) => void notices.push(line),
    onProgress: () => {},
    whenGone: "refuse" as GuestKitConfig["whenGone"]
  }
  const agentPath = join(folder, "agent")
  const agent = GuestAgent.layerFile(agentPath, "build it first")
  // A new one each time, as a new process would have.
  const withConfig = (changed: Partial<GuestKitConfig>) => {
    const layer = GuestKit.layerNoDeps({ ...config, ...changed }).pipe(
      Layer.provide([archive.layer, agent, DurableFiles.layer])
    )
    const use = <A, E>(f: (kit: GuestKit["Service"]) => Effect.Effect<A, E>) =>
      GuestKit.use(f).pipe(Effect.provide(layer, { local: true }))
    return { use, files: use((kit) => kit.files).pipe(TestClock.withLive) }
  }
  const { files, use } = withConfig({})
  return {
    agentPath,
    config,
    notices,
    use,
    files,
    with: (changed: Partial<GuestKitConfig>) => Effect.sync(() => withConfig(changed)),
    lock: use((kit) => kit.lock)
  }
})

/** A kit with an existing lock, and the archive that it names. */
export const locked = Effect.suspend(() => lockedOf("riscv64"))

/** The same, for guests of that platform. */
export const lockedOf = Effect.fnUntraced(function* (platform: GuestPlatform) {
  const archive = yield* localArchiveOf(platform)
  archive.publish("6.12.1", "1:1.37.0-6")
  const kit = yield* kitOn(archive, platform)
  yield* kit.lock
  return { archive, kit }
})
