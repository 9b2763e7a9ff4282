import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import { figures, figuresTable, taken, withTable } from "./figures.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), "utf8")

describe("the figures of the README", () => {
  it("are-those-of-the-committed-run-and-edited-by-nobody", () => {
    const page = read("README.md")
    assert.strictEqual(page, withTable(page, figuresTable(figures())), "run make figures")
  })

  it("are-rows-that-a-bench-program-prints", () => {
    const programs = globSync("bench/*.bench.ts", { cwd: root }).map(read).join("\n")
    for (const { name } of figures()) {
      const parts = name.split(/[/\d]+/).filter((part) => part.length > 2)
      for (const part of parts) assert.include(programs, part, name)
    }
  })

  it("agree-with-their-ratio", () => {
    for (const { name, peerValue, ratio, value } of figures()) {
      if (peerValue === null || ratio === null) continue
      const either = [value / peerValue, peerValue / value]
      assert.isTrue(
        either.some((one) => Math.abs(one - ratio) / ratio < 0.1),
        name
      )
    }
  })

  it("are-taken-from-a-run-only-as-a-whole", () => {
    const [first, ...others] = figures()
    assert(first !== undefined)
    const newer = { ...first, value: 1 }
    assert.deepStrictEqual(taken([first], [newer]), { rows: [newer], missing: [] })
    assert.deepStrictEqual(
      taken([first, ...others], [newer]).missing,
      others.map(({ name }) => name)
    )
    assert.include(figuresTable([{ ...first, value: 1234.5, peerValue: 2e6, ratio: 0.00017 }]), "1,235 ms")
  })
})
