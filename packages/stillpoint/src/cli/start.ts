#!/usr/bin/env node
/**
 * Starts the command line from one file that holds all its modules: to find a thousand of them takes longer than a clone takes to answer.
 *
 * A policy of a file (`--at ./policy.ts`) imports the libraries as they are installed, and is a policy of that copy: for such a call the
 * modules themselves are loaded, as they are where the one file was not made.
 *
 * @module
 */
import { existsSync } from "node:fs"
import { namesPolicyFile } from "./namesPolicyFile.ts"

/** The same path from `src` and from `dist`. */
const whole = new URL("../../whole/main.js", import.meta.url)

/**
 * Before version 24, Node warns at every start that its SQLite is experimental. The user has not chosen it and cannot change it.
 */
const withoutItsWarning = (emit: (...words: ReadonlyArray<never>) => void) =>
  ((...words: ReadonlyArray<never>) => {
    if (!String(words[0]).startsWith("SQLite is an experimental feature")) emit(...words)
  }) as typeof process.emitWarning

process.emitWarning = withoutItsWarning(process.emitWarning.bind(process))

const readsPolicyFile = (args: ReadonlyArray<string>): boolean =>
  args.some((argument, index) => {
    const [, inOne] = /^--at=(.*)$/s.exec(argument) ?? []
    const at = argument === "--at" ? args[index + 1] : inOne
    return at !== undefined && namesPolicyFile(at)
  })

await (readsPolicyFile(process.argv) || !existsSync(whole) ? import("./main.ts") : import(whole.href))
