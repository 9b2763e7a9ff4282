/**
 * Linux's signals by name, as images name their stop signal.
 *
 * @module
 */

const inOrder =
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS".split(
    " "
  )

/** The number of the first signal that a C library leaves to programs, and of the last. */
const [firstRealTime, lastRealTime] = [34, 64]

/** The number of `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`; `undefined` for anything else. */
export const signalNumber = (text: string): number | undefined => {
  const name = text.toUpperCase().replace(/^SIG/, "")
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name)
  if (realTime !== null) {
    const [, from, sign, steps = "0"] = realTime
    const number = (from === "MIN" ? firstRealTime : lastRealTime) + (sign === "-" ? -1 : 1) * Number(steps)
    return number >= firstRealTime && number <= lastRealTime ? number : undefined
  }
  const number = /^\d{1,2}$/.test(name) ? Number(name) : inOrder.indexOf(name) + 1
  return number >= 1 && number <= lastRealTime ? number : undefined
}
