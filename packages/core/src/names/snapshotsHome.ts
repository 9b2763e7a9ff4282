import { homedir } from "node:os"
import { join, resolve } from "node:path"

/**
 * The folder of the user's store.
 *
 * @example
 * ```ts
 * import { snapshotsHome } from "@stillpoint/core"
 *
 * console.log(snapshotsHome({ XDG_DATA_HOME: "/data" })) // /data/stillpoint
 * console.log(snapshotsHome({ STILLPOINT_HOME: "/srv/snapshots", XDG_DATA_HOME: "/data" })) // /srv/snapshots
 * ```
 */
export const snapshotsHome = (environment: Readonly<Record<string, string | undefined>> = process.env): string => {
  const home = environment["STILLPOINT_HOME"]
  if (home !== undefined && home !== "") return resolve(home)
  const data = environment["XDG_DATA_HOME"]
  // A relative path there is to be ignored, as its specification says.
  return join(data !== undefined && data.startsWith("/") ? data : join(homedir(), ".local/share"), "stillpoint")
}
