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
    include: ["**/*.test.ts"],
    exclude: ["**/node_modules/**", "**/dist/**"]
  }
}))
