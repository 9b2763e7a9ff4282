/**
 * Programs of the user's that busybox has too.
 *
 * A shell of busybox, and its `env`, `xargs`, `find` or `timeout`, run a program of busybox's own for each name that it knows,
 * whatever `PATH` says. So busybox is made to forget the names that a user brings programs for.
 *
 * @module
 */

/** What scripts begin with, and what busybox itself is started as. */
const shells: ReadonlySet<string> = new Set(["sh", "ash"])

/**
 * The names of the programs at `paths`, wherever they stand: `PATH` may get any folder while the guest runs. A name that is forgotten
 * for nothing costs a look along `PATH`, which ends at busybox's own link.
 */
export const programNames = (paths: Iterable<string>): ReadonlySet<string> => {
  const names = new Set<string>()
  for (const path of paths) {
    const name = path.slice(path.lastIndexOf("/") + 1)
    if (!shells.has(name)) names.add(name)
  }
  return names
}

/** What stands for the last character of a name that is forgotten: no name has it, and the names stay in order. */
const forgotten = 0x01

/** The list of busybox's names begins with these, each with a zero behind it, and ends with one more. */
const firstNames = Buffer.from("[\0[[\0", "latin1")

/** Busybox without those of its programs; the same bytes where it has none of them, or is no busybox. */
export const withoutPrograms = (busybox: Uint8Array, names: ReadonlySet<string>): Uint8Array => {
  const bytes = Buffer.from(busybox)
  const start = bytes.indexOf(firstNames)
  if (start < 0) return busybox
  const end = bytes.indexOf("\0\0", start, "latin1")
  let isForgetful = false
  for (let at = start; at < end;) {
    const next = bytes.indexOf(0, at)
    const name = bytes.toString("latin1", at, next)
    // By its own name the whole one is to be found.
    if (names.has(name) || name === "busybox") bytes[next - 1] = forgotten
    isForgetful ||= names.has(name)
    at = next + 1
  }
  return isForgetful ? new Uint8Array(bytes) : busybox
}
