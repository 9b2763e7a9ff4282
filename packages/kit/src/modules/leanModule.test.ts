import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as fc from "fast-check"
import { moduleOf } from "../testing/debianFiles.ts"
import { leanModule } from "./leanModule.ts"
import { readModuleInfo } from "./moduleInfo.ts"

const tools = ["riscv64-linux-gnu-gcc", "riscv64-linux-gnu-objdump", "riscv64-linux-gnu-ld"]
const missing = tools.filter((tool) => spawnSync(tool, ["--version"]).status !== 0)
const why = missing.length === 0 ? "" : `skipped: ${missing.join(", ")} not installed: `

const source = `
extern int printk(const char *, ...);
extern long jiffies;
static int table[8] = { 1, 2, 3 };
static const char *const words[] = { "one", "two", "three" };
static int unused_label(int a) { return a * 3; }
static int (*const calls[])(int) = { unused_label };
__attribute__((section(".modinfo"), used)) static const char info[] = "depends=b_c\\0softdep=pre: d e post: f\\0alias=g-h";
int init_module(void) {
  for (int i = 0; i < 3; i++) { printk(words[i]); table[i] += calls[0](i); }
  switch (jiffies) { case 1: return 3; case 2: return 9; case 3: return 27; case 4: return 81; case 5: return 1; case 6: return 2; }
  return jiffies > 7 ? table[jiffies % 8] : 0;
}
`

describe("what a kernel loads of a module", () => {
  it.skipIf(why !== "")(`${why}is-all-that-is-left-of-it-and-is-the-same`, () => {
    const folder = mkdtempSync(join(tmpdir(), "stillpoint-lean-"))
    try {
      const at = (name: string) => join(folder, name)
      const run = (tool: string, ...args: ReadonlyArray<string>) => {
        const { status, stderr, stdout } = spawnSync(tool, args, { encoding: "utf8", cwd: folder })
        assert.strictEqual(status, 0, stderr)
        return stdout
      }
      writeFileSync(at("m.c"), source)
      run(
        "riscv64-linux-gnu-gcc",
        "-g",
        "-O2",
        "-mcmodel=medany",
        "-mno-relax",
        "-fno-pic",
        "-c",
        "-o",
        at("whole.o"),
        at("m.c")
      )
      const whole = readFileSync(at("whole.o"))
      const lean = leanModule(whole)
      writeFileSync(at("lean.o"), lean)
      assert.isBelow(lean.length, whole.length / 2)
      // Linked to fixed addresses, relocations come to the same bytes.
      const image = (name: string) => {
        const fixed = ["--defsym", "printk=0x1000", "--defsym", "jiffies=0x2000", "-Ttext=0x10000", "-e", "init_module"]
        run("riscv64-linux-gnu-ld", "--no-relax", ...fixed, "-o", at(`${name}.elf`), at(`${name}.o`))
        const sections = [".text", ".rodata", ".data", ".modinfo"].flatMap((section) => ["-j", section])
        return run("riscv64-linux-gnu-objdump", "-s", ...sections, at(`${name}.elf`)).replace(/^.*file format/m, "")
      }
      assert.strictEqual(image("lean"), image("whole"))
      const info = { depends: ["b_c"], before: ["d", "e"], aliases: ["g_h"] }
      assert.deepStrictEqual([readModuleInfo(whole), readModuleInfo(lean)], [info, info])
      assert.deepStrictEqual(leanModule(lean), lean)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it("is-refused-by-name-or-taken-however-the-file-is-damaged", () => {
    const module = moduleOf("a", ["b"])
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(module.length - 1), fc.nat(255)), { maxLength: 6 }),
        fc.nat(module.length),
        (changes, end) => {
          const damaged = Buffer.from(module.subarray(0, changes.length === 0 ? end : module.length))
          for (const [at, value] of changes) damaged[at] = value
          for (const read of [leanModule, readModuleInfo]) {
            try {
              read(damaged)
            } catch (error) {
              assert.instanceOf(error, Error)
              assert.include((error as Error).message, "expected a")
            }
          }
        }
      ),
      { numRuns: 300 }
    )
  })
})
