import { defineConfig } from "vitest/config"
import { projects } from "./vitest.workspace.ts"

export default defineConfig({
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source"] } },
  // Vitest leaves a core to itself; much of these tests is waiting for guests and other processes.
  test: { projects, testTimeout: 60_000, maxWorkers: "100%" }
})
