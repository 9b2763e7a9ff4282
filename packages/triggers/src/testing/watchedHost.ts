/**
 * Detects calls to the host while a trigger decides, under any name that it has kept.
 *
 * A function that a module stored in a variable on loading cannot be replaced later. The debugger sees every call of a function
 * from anywhere: a breakpoint whose condition is never true reports the call.
 *
 * @module
 */
import * as childProcess from "node:child_process"
import * as crypto from "node:crypto"
import * as fs from "node:fs"
import { Session } from "node:inspector"
import * as os from "node:os"

/** A function that reveals the host's state or chance, or calls back later; with a condition on its arguments, if given. */
type Question = readonly [name: string, question: unknown, condition?: string]

/** With a given time, these reveal nothing of the host. */
const ofNoGivenTime = "arguments.length === 0"

const functionsOf = (name: string, of: object, which = /^/): ReadonlyArray<Question> =>
  Object.entries(of)
    .filter(([each]) => which.test(each))
    .map(([each, value]) => [`${name}.${each}`, value])

/** A format that was bound to its language before, and is called without a time, cannot be detected. */
const questions: ReadonlyArray<Question> = (
  [
    ["new Date", Date, ofNoGivenTime],
    ["Intl.DateTimeFormat.formatToParts", Intl.DateTimeFormat.prototype.formatToParts, ofNoGivenTime],
    ["Date.now", Date.now],
    ["performance.now", Object.getPrototypeOf(performance)?.now],
    ["process.hrtime", process.hrtime],
    ["process.hrtime.bigint", process.hrtime.bigint],
    ["process.uptime", process.uptime],
    ["process.cpuUsage", process.cpuUsage],
    ["process.memoryUsage", process.memoryUsage],
    ["Math.random", Math.random],
    ["crypto.getRandomValues", crypto.webcrypto.getRandomValues],
    ["crypto.randomUUID", crypto.webcrypto.randomUUID],
    ["fetch", fetch],
    ["setTimeout", setTimeout],
    ["setInterval", setInterval],
    ["setImmediate", setImmediate],
    ["queueMicrotask", queueMicrotask],
    ...functionsOf("crypto", crypto, /^random|^generate/),
    ...functionsOf("os", os),
    ...functionsOf("fs", fs, /Sync$/),
    ...functionsOf("child_process", childProcess, /Sync$/)
  ] satisfies ReadonlyArray<Question>
).filter(([, question]) => typeof question === "function")

/** A text: a condition is evaluated among the names of the function that is called, `Symbol` perhaps. Another copy of this module has its own. */
const key = `stillpoint watched host ${crypto.randomUUID()}`
const own: { readonly questions: ReadonlyArray<unknown>; readonly hear: (index: number) => false } = {
  questions: questions.map(([, question]) => question),
  hear: (index) => {
    if (asked !== null) asked.add(questions[index]?.[0] ?? "")
    return false
  }
}

/** The calls while a trigger decides; `null` while none does. */
let asked: Set<string> | null = null

/** Runs a function, and returns the calls to the host meanwhile. Without an earlier {@link watchHost} it detects nothing. */
export const questionsOf = (work: () => void): ReadonlyArray<string> => {
  const before = asked
  const during = (asked = new Set<string>())
  try {
    work()
  } finally {
    asked = before
  }
  return [...during]
}

const watch = (session: Session): void => {
  const post = (method: string, parameters: object = {}): { readonly result?: { readonly objectId?: string } } => {
    let answer = {}
    session.post(method, parameters, (error: unknown, found?: object) => {
      if (error === null) answer = found ?? {}
    })
    return answer
  }
  post("Debugger.enable")
  for (const [index, [, , condition = "true"]] of questions.entries()) {
    const path = `globalThis[${JSON.stringify(key)}]`
    const { result } = post("Runtime.evaluate", { expression: `${path}.questions[${index}]` })
    if (result?.objectId === undefined) continue
    post("Debugger.setBreakpointOnFunctionCall", {
      objectId: result.objectId,
      condition: `${condition} && ${path}.hear(${index})`
    })
  }
}

let users = 0
let session: Session | null = null

/** The session with the debugger: opened once, as a second to set its breakpoints is what a law would take otherwise. */
const opened = (): Session | null => {
  if (session !== null) return session
  try {
    const one = new Session()
    one.connect()
    Object.defineProperty(globalThis, key, { value: own, configurable: true })
    watch(one)
    return (session = one)
  } catch {
    return null
  }
}

/**
 * Lets the debugger detect calls until the returned function is called. Without a debugger it detects nothing.
 *
 * Its breakpoints then stay in the process, switched off: a call of such a function takes a microsecond more.
 */
export const watchHost = (): (() => void) => {
  const switched = (active: boolean): void => opened()?.post("Debugger.setBreakpointsActive", { active })
  if (users++ === 0) switched(true)
  return () => {
    if (--users === 0) switched(false)
  }
}
