/**
 * Folders whose tests leave nothing in their process. One process runs their files one after the other and loads a library once instead
 * of once for each file, which takes 0.7 s of CPU. Where machines, threads, descriptors or guest memory are counted, each file has a process of its own.
 */
const shareProcesses = new Set([
  "packages/core/src",
  "packages/triggers",
  "packages/kit",
  "packages/stillpoint",
  "scripts"
])

/** The test projects, one per package or folder; `vitest.config.ts` reads this list. */
export const projects = [
  "packages/core/src",
  "packages/core/test",
  "packages/triggers",
  "packages/kit",
  "packages/native",
  "packages/images",
  "packages/stillpoint",
  "examples",
  "scripts",
  "bench"
].map((root) => ({
  extends: true as const,
  test: {
    name: root.replace("packages/", "").replace("/src", ""),
    root,
    isolate: !shareProcesses.has(root),
    include: ["**/*.test.ts"],
    exclude: ["**/node_modules/**", "**/dist/**"]
  }
}))
