/** A store on a disk without room. */
import { spawnSync } from "node:child_process"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import { bundled } from "../../../scripts/testing/bundled.ts"
import { makeFolder, runStillpoint } from "./runStillpoint.ts"

const main = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url))
const { home } = makeFolder()
const mounting = 'mount -t tmpfs -o size=12m none "$0"'
const mounted = spawnSync("unshare", ["-rm", "sh", "-c", mounting, home]).status === 0
const why = mounted ? "" : " (skipped: this system does not let its users mount)"

describe("a store on a full disk", () => {
  it.skipIf(!mounted)(`a-bake-says-that-there-is-no-room-and-what-to-do-and-leaves-nothing${why}`, async () => {
    const shell = `${mounting} && cd "$0" && "$1" "$2" bake kit:httpd --name web --json; echo $?; ls snapshots snapshots/objects`
    const { stderr, stdout } = spawnSync(
      "unshare",
      ["-rm", "sh", "-c", shell, home, process.execPath, await bundled(main)],
      { encoding: "utf8", env: { ...process.env, STILLPOINT_HOME: home } }
    )
    assert.strictEqual(stdout, "1\nsnapshots:\nobjects\n\nsnapshots/objects:\n", stderr)
    assert.match(
      stderr,
      /^stillpoint: no space left for the snapshot in \/\S+, \d+ MiB are free; nothing was stored\. Free some \(.*\), or set STILLPOINT_HOME to a folder on another disk\n$/
    )
  })

  it.skipIf(!mounted)(`an-export-says-so-too-and-leaves-nothing${why}`, async () => {
    const { folder, home: store } = makeFolder()
    assert.strictEqual((await runStillpoint(folder, ["bake", "kit:httpd", "--name", "web"])).status, 0)
    const full = join(folder, "full")
    mkdirSync(full)
    const shell = 'mount -t tmpfs -o size=4m none "$0" && "$1" "$2" export "$3" "$0/web.tar"; echo $?; ls "$0"'
    const { stderr, stdout } = spawnSync(
      "unshare",
      ["-rm", "sh", "-c", shell, full, process.execPath, await bundled(main), "web"],
      { encoding: "utf8", env: { ...process.env, STILLPOINT_HOME: store } }
    )
    assert.strictEqual(stdout, "1\n", stderr)
    assert.match(
      stderr,
      /^stillpoint: write of \S+web\.tar failed: ENOSPC: no space is left there; free some, and try again\n$/
    )
  })
})
