/**
 * Packages whose tests leave nothing in their process: its files are run by one process after the other, which loads a library once and
 * not once a file. Where machines, threads, descriptors or guest memory are counted, each file has a process of its own.
 */
const shareProcesses = new Set(["packages/triggers", "packages/kit"])

/** The test projects, one per package or folder; `vitest.config.ts` reads this list. */
export const projects = [
  "packages/core",
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
    name: root.replace("packages/", ""),
    root,
    isolate: !shareProcesses.has(root),
    include: ["**/*.test.ts"],
    exclude: ["**/node_modules/**", "**/dist/**"]
  }
}))
