import { availableParallelism } from "node:os"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"
import { projects } from "./vitest.workspace.ts"

/**
 * After so long a test hangs. No test is given less: what a test takes depends on the machine and on what else it does, and that a
 * guest is quick is for `make bench` to say. A test whose length is chosen (`STILLPOINT_RUNS`, `STILLPOINT_KILLS`) adds to it.
 */
const hangsAfterMillis = 600_000

export default defineConfig({
  resolve: { conditions: ["stillpoint-source"] },
  ssr: { resolve: { conditions: ["stillpoint-source"] } },
  // Tests run on what Debian's archive holds, and the set-up says what that is; a library keeps its lock unless told.
  // Each file has a core in turn, and one more is under way: a tenth of the time of these tests is waiting, for guests and other processes.
  test: {
    env: { STILLPOINT_KIT_WHEN_GONE: "newest" },
    projects,
    setupFiles: [fileURLToPath(new URL("scripts/testing/properties.ts", import.meta.url))],
    testTimeout: hangsAfterMillis,
    hookTimeout: hangsAfterMillis,
    maxWorkers: availableParallelism() + 1,
    // Node collects garbage in as many threads as there are cores; where each core has a file already, these wait for each other.
    // Beside other work it saved 15 to 20 % of the CPU of files that compute, with nothing beside them no more than noise.
    execArgv: ["--single-threaded-gc"]
  }
})
