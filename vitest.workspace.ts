/** Folders with tests; the project of each is called after it. */
const roots = [
  "packages/core",
  "packages/triggers",
  "packages/kit",
  "packages/native",
  "packages/images",
  "packages/stillpoint",
  "examples",
  "scripts",
  "bench"
]

/**
 * Files that count what their process has: machines, threads, descriptors or memory. Each has a process of its own, in a project that is
 * called `native, counted`.
 *
 * The others leave nothing behind, and one process runs them one after the other. It loads a library once instead of once for each
 * file, which takes 0.9 s of CPU, and translates a guest kernel once.
 */
const counted: Readonly<Record<string, ReadonlyArray<string>>> = {
  "packages/native": [
    "test/floods.test.ts",
    "test/lifecycle.test.ts",
    "test/memoryLimit.test.ts",
    "test/roomForRoots.test.ts",
    "test/promises/acknowledgement.test.ts",
    "test/promises/manyConnections.test.ts",
    "test/promises/pipeline.test.ts",
    "test/promises/pool.test.ts",
    "test/promises/serve.test.ts"
  ]
}

const project = (
  root: string,
  name: string,
  isolate: boolean,
  include: ReadonlyArray<string>,
  exclude: ReadonlyArray<string> = []
) => ({
  extends: true as const,
  test: {
    name,
    root,
    isolate,
    include: [...include],
    exclude: ["**/node_modules/**", "**/dist/**", ...exclude]
  }
})

/** The test projects, one or two per folder; `vitest.config.ts` reads this list. */
export const projects = roots.flatMap((root) => {
  const name = root.replace("packages/", "")
  const alone = counted[root] ?? []
  const shared = project(root, name, false, ["**/*.test.ts"], alone)
  return alone.length === 0 ? [shared] : [shared, project(root, `${name}, counted`, true, alone)]
})
