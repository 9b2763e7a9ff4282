/**
 * Who asks the host while a trigger decides, by whatever name it has kept the question.
 *
 * A function that was put into a variable when its module was loaded is out of reach for who replaces it later. The debugger sees
 * each call of a function, whoever makes it: a breakpoint whose condition is never true says that it was called.
 *
 * @module
 */
import { randomBytes, randomInt, randomUUID, webcrypto } from "node:crypto"
import { Session } from "node:inspector"

/** What tells of the host, or of chance, or comes back later. A `Date` of a given time tells of neither, and cannot be told apart. */
const questions: ReadonlyArray<readonly [name: string, question: unknown]> = [
  ["Date.now", Date.now],
  ["performance.now", Object.getPrototypeOf(performance)?.now],
  ["process.hrtime", process.hrtime],
  ["process.hrtime.bigint", process.hrtime.bigint],
  ["process.uptime", process.uptime],
  ["Math.random", Math.random],
  ["crypto.getRandomValues", webcrypto.getRandomValues],
  ["crypto.randomUUID", webcrypto.randomUUID],
  ["randomUUID", randomUUID],
  ["randomBytes", randomBytes],
  ["randomInt", randomInt],
  ["setTimeout", setTimeout],
  ["setInterval", setInterval],
  ["setImmediate", setImmediate],
  ["queueMicrotask", queueMicrotask]
]

/** A text: a condition is evaluated among the names of the function that is called, `Symbol` perhaps. */
const key = "stillpoint watched host"
const own: { readonly questions: ReadonlyArray<unknown>; readonly hear: (index: number) => false } = {
  questions: questions.map(([, question]) => question),
  hear: (index) => {
    if (asked !== null) asked.add(questions[index]?.[0] ?? "")
    return false
  }
}

/** What was asked while a trigger decides; `null` while none does. */
let asked: Set<string> | null = null

/** Does something, and says what was asked of the host meanwhile. Hears nothing where nobody has called {@link watchHost}. */
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
  for (const index of questions.keys()) {
    const path = `globalThis[${JSON.stringify(key)}]`
    const { result } = post("Runtime.evaluate", { expression: `${path}.questions[${index}]` })
    if (result?.objectId === undefined) continue
    post("Debugger.setBreakpointOnFunctionCall", { objectId: result.objectId, condition: `${path}.hear(${index})` })
  }
}

let users = 0
let session: Session | null = null

/** Has the debugger listen for questions until what it returns is called. Where there is no debugger, nothing is heard. */
export const watchHost = (): (() => void) => {
  if (users++ === 0) {
    Object.defineProperty(globalThis, key, { value: own, configurable: true })
    try {
      session = new Session()
      session.connect()
      watch(session)
    } catch {
      session = null
    }
  }
  return () => {
    if (--users > 0) return
    session?.disconnect()
    session = null
    Reflect.deleteProperty(globalThis, key)
  }
}
