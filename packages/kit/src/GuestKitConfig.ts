/**
 * The kit's sources and folders.
 *
 * @module
 */
import { existsSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { type GuestPlatform, guestPlatforms, PlainText } from "@stillpoint/core"
import { Schema } from "effect"
import type { OnProgress } from "./archive/download.ts"
import { functionSchema } from "./KitError.ts"

/** The kit's sources and folders, and the receiver of its notices. */
export interface GuestKitConfig {
  /** The cache. */
  readonly directory: string
  /** The lock of the packages, which must be one for `platform`. */
  readonly lockPath: string
  /** The platform of the guests: `riscv64` for the engine `soft`, `amd64` for `kvm`. `riscv64` if absent. */
  readonly platform?: GuestPlatform
  /** Called with notices for the user, one line each: a substitute was taken, a damaged file was dropped. */
  readonly onNotice: (line: string) => void
  readonly onProgress: OnProgress
  /**
   * The treatment of a locked package that neither the archive nor the service for old packages has: it is refused by
   * name, or the newest version is taken, which `onNotice` reports, {@link KitFiles.substitutes} lists, and the manifest
   * of every snapshot of such a guest records.
   */
  readonly whenGone: "refuse" | "newest"
}

const Path = PlainText.check(Schema.isMinLength(1))

/** Like {@link GuestKitConfig}, for callers without types. */
export const guestKitConfigSchema = Schema.Struct({
  directory: Path,
  lockPath: Path,
  platform: Schema.optionalKey(Schema.Literals(guestPlatforms)),
  onNotice: functionSchema<GuestKitConfig["onNotice"]>(),
  onProgress: functionSchema<OnProgress>(),
  whenGone: Schema.Literals(["refuse", "newest"])
})

const packageRoot = fileURLToPath(new URL("../", import.meta.url))
const repositoryRoot = join(packageRoot, "../..")

/**
 * The cache's place: `STILLPOINT_KIT_DIR`; else `.cache/guest-kit` of the repository that this package
 * lies in; else the user's cache folder.
 */
export const defaultDirectory = (environment: NodeJS.ProcessEnv = process.env): string => {
  const named = environment["STILLPOINT_KIT_DIR"]
  if (named !== undefined && named !== "") return named
  if (existsSync(join(repositoryRoot, "pnpm-workspace.yaml"))) return join(repositoryRoot, ".cache/guest-kit")
  const cache = environment["XDG_CACHE_HOME"]
  return join(cache !== undefined && cache !== "" ? cache : join(homedir(), ".cache"), "stillpoint/guest-kit")
}

/**
 * The defaults of this package, for guests of that platform; notices go to standard error. A lock is kept unless
 * `STILLPOINT_KIT_WHEN_GONE` is `newest`.
 */
export const defaultGuestKitConfig = (
  environment: NodeJS.ProcessEnv = process.env,
  platform: GuestPlatform = "riscv64"
): GuestKitConfig => ({
  platform,
  directory: defaultDirectory(environment),
  whenGone: environment["STILLPOINT_KIT_WHEN_GONE"] === "newest" ? "newest" : "refuse",
  lockPath: join(packageRoot, platform === "amd64" ? "guest-kit.amd64.lock.json" : "guest-kit.lock.json"),
  onNotice: (line) => void process.stderr.write(`guest kit: ${line}\n`),
  onProgress: () => {}
})
