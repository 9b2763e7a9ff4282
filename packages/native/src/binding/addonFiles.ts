/**
 * The possible places of this host's addon: a package for the platform, or this one, where a checkout builds it.
 *
 * @module
 */
import { fileURLToPath } from "node:url"

/** The platforms that `make pack` makes a package for. */
export const prebuiltPlatforms: ReadonlyArray<string> = ["linux-x64-gnu", "linux-arm64-gnu"]

/** Platforms that the core compiles for, and on which it has not been run. */
export const untestedPlatforms: ReadonlyArray<string> = ["darwin-arm64"]

/** Whether a Linux has GNU's C library; others have musl. */
const hasGlibc = (): boolean => {
  const { report } = process as { readonly report?: NodeJS.ProcessReport & { excludeNetwork?: boolean } }
  if (report === undefined) return true
  // Names of hosts are no part of the question, and may take long to look up.
  const before = report.excludeNetwork
  report.excludeNetwork = true
  const found = report.getReport() as { readonly header?: { readonly glibcVersionRuntime?: string } }
  if (before !== undefined) report.excludeNetwork = before
  return found.header?.glibcVersionRuntime !== undefined
}

/** The platform of this host as packages are named: `linux-x64-gnu`, `darwin-arm64`. */
export const hostPlatform = (): string => {
  const { arch, platform } = process
  return platform === "linux" ? `linux-${arch}-${hasGlibc() ? "gnu" : "musl"}` : `${platform}-${arch}`
}

/** The package that holds the addon of a platform, and nothing else. */
export const packageOf = (platform: string): string => `@stillpoint/native-${platform}`

/** The place where a checkout builds the addon. */
export const builtAddon = fileURLToPath(new URL("../../stillpoint.node", import.meta.url))
