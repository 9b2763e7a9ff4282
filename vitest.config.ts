import { defineConfig } from "vitest/config"
import { projects } from "./vitest.workspace.ts"

export default defineConfig({
  resolve: { conditions: ["stillpoint-source"] },
  ssr: { resolve: { conditions: ["stillpoint-source"] } },
  // Tests run on what Debian's archive holds, and the set-up says what that is; a library keeps its lock unless told.
  // Vitest leaves a core to itself; much of these tests is waiting for guests and other processes.
  test: { env: { STILLPOINT_KIT_WHEN_GONE: "newest" }, projects, testTimeout: 60_000, maxWorkers: "100%" }
})
