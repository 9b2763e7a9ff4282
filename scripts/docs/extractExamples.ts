/**
 * Finds the programs in documentation: the `ts` fences after `@example` in docstrings, and those of Markdown files; and what
 * each says that it prints.
 *
 * The expected output of a program is written where it prints, in the comment at the end of the line and the comment lines
 * right below:
 *
 * ```text
 * console.log(policy.name) // onListener
 * console.log(explain(firing).text)
 * // onListener decided at 2 s of guest time: …
 * // The cause was event 0, …
 * ```
 *
 * or in a `text` fence that follows the program, which then is all of it. `…` means any text in a line, and alone any lines.
 */
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

export interface Example {
  /** Its place: file and line of its first line. */
  readonly where: string
  /** File that the program was written to. */
  readonly path: string
  /** Why it is only type-checked, from its fence: `ts no-run: why`. `undefined` for a program that is run. */
  readonly notRun: string | undefined
  /** Its expected output lines; empty if it prints nothing. */
  readonly prints: ReadonlyArray<string>
}

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Under the repository's root, so that imports by package name resolve as they do for a user of the workspace. */
export const examplesDirectory = join(root, ".cache/examples")

interface Fence {
  readonly line: number
  readonly code: string
  readonly notRun: string | undefined
  readonly prints: ReadonlyArray<string>
}

/** The comments with the output of the lines with `console.log`. */
const printsOf = (code: ReadonlyArray<string>): ReadonlyArray<string> => {
  const prints: Array<string> = []
  let isBelow = false
  for (const line of code) {
    const below = /^\s*\/\/ ?(.*)$/.exec(line)
    if (below !== null) {
      if (isBelow) prints.push(below[1] ?? "")
      continue
    }
    const beside = /^.*[\s;})]\/\/ (.*)$/.exec(line)
    isBelow = /console\.log/.test(line) || (isBelow && /^\s*[)\]}]/.test(line))
    if (isBelow && beside !== null) prints.push(beside[1] ?? "")
  }
  return prints
}

/** Whether the output is the expected one. */
export const isAsSaid = (printed: ReadonlyArray<string>, said: ReadonlyArray<string>): boolean => {
  const pattern = said
    .map((line) =>
      line.trim() === "…"
        ? "(?:.*\\n)*?"
        : `${line
            .trimEnd()
            .split("…")
            .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
            .join(".*")}\\n`
    )
    .join("")
  return new RegExp(`^${pattern}$`).test(printed.map((line) => `${line.trimEnd()}\n`).join(""))
}

const fences = (text: string, firstLine: number): ReadonlyArray<Fence> => {
  const found: Array<Fence> = []
  let output: Array<string> | undefined
  let isRightAfterProgram = false
  let open: { readonly line: number; readonly notRun: string | undefined; readonly code: Array<string> } | undefined
  for (const [index, line] of text.split("\n").entries()) {
    if (output !== undefined) {
      if (!/^\s*```\s*$/.test(line)) output.push(line)
      else {
        const program = found.pop()
        if (program !== undefined) found.push({ ...program, prints: output })
        output = undefined
      }
    } else if (open === undefined) {
      if (/^\s*```text\s*$/.test(line) && isRightAfterProgram) output = []
      if (line.trim() !== "") isRightAfterProgram = false
      const start = /^\s*```(?:ts|typescript)(?:\s+no-run(.*))?$/.exec(line.trimEnd())
      if (start !== null) {
        const notRun = start[1]?.replace(/^: */, "")
        open = { line: firstLine + index + 1, notRun, code: [] }
      }
    } else if (/^\s*```\s*$/.test(line)) {
      found.push({ ...open, code: open.code.join("\n"), prints: printsOf(open.code) })
      open = undefined
      isRightAfterProgram = true
    } else open.code.push(line)
  }
  return found
}

const inDocstrings = (text: string): ReadonlyArray<Fence> => {
  const found: Array<Fence> = []
  for (const comment of text.matchAll(/\/\*\*[\s\S]*?\*\//g)) {
    const at = comment[0].indexOf("@example")
    if (at < 0) continue
    const before = text.slice(0, (comment.index ?? 0) + at).split("\n").length
    const body = comment[0]
      .slice(at, -2)
      .split("\n")
      .map((line) => line.replace(/^\s*\* ?/, ""))
      .join("\n")
    found.push(...fences(body, before))
  }
  return found
}

/** Writes every program to its own file and returns the programs, in the order of files. */
export const extractExamples = (): ReadonlyArray<Example> => {
  rmSync(examplesDirectory, { recursive: true, force: true })
  const examples: Array<Example> = []
  const add = (file: string, found: ReadonlyArray<Fence>): void => {
    for (const fence of found) {
      const path = join(examplesDirectory, `${file.replace(/[/.]/g, "-")}-${fence.line}.ts`)
      mkdirSync(dirname(path), { recursive: true })
      // `export {}`: a program without imports is a module, too.
      writeFileSync(path, `${fence.code}\nexport {}\n`)
      const { notRun, prints } = fence
      examples.push({ where: `${file}:${fence.line}`, path, notRun, prints })
    }
  }
  for (const file of globSync("packages/*/src/**/*.ts", { cwd: root }).toSorted()) {
    if (!file.endsWith(".test.ts")) add(file, inDocstrings(readFileSync(join(root, file), "utf8")))
  }
  for (const file of [
    ...globSync("*.md", { cwd: root }),
    ...globSync(["docs/**/*.md", "packages/*/README.md"], { cwd: root })
  ].toSorted()) {
    add(file, fences(readFileSync(join(root, file), "utf8"), 1))
  }
  const options = {
    extends: "../../tsconfig.base.json",
    compilerOptions: {
      noEmit: true,
      composite: false,
      // What was found in files that say what they said is not looked for again; kept beside the folder, which is written anew.
      incremental: true,
      tsBuildInfoFile: "../documentation.tsbuildinfo",
      declaration: false,
      declarationMap: false,
      noUnusedLocals: false,
      noUnusedParameters: false,
      customConditions: ["stillpoint-source"]
    },
    include: ["*.ts"]
  }
  mkdirSync(examplesDirectory, { recursive: true })
  writeFileSync(join(examplesDirectory, "tsconfig.json"), `${JSON.stringify(options, undefined, 2)}\n`)
  return examples
}
