/**
 * Programs of the user's that busybox has too.
 *
 * Busybox's shell, and its `env`, `xargs`, `find` or `timeout`, run busybox's own program for each name that it knows, whatever
 * `PATH` says. So the names of the user's programs are removed from busybox.
 *
 * @module
 */

/** The interpreters of scripts, and the names that busybox itself is started by. */
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

/** The replacement for the last character of a removed name: no name has it. */
const forgotten = "\x01"

/** Comes after every character of a name. */
const afterAll = "\xff"

/** The list of busybox's names begins with these, each with a zero behind it, and ends with one more. */
const firstNames = Buffer.from("[\0[[\0", "latin1")

/** By this name the whole busybox is to be found, so the forgetful one never knows it. */
const ownName = "busybox"

/** Busybox divides its sorted list into this many parts, and remembers where all but the first begin. */
const parts = 8

/** The places in the list at which a part begins, as `find_applet_by_name` counts them (`libbb/appletlib.c`). */
const firstsOfParts = (count: number): ReadonlyArray<number> =>
  Array.from({ length: parts - 1 }, (_, at) => Math.floor((count * (at + 1)) / parts))

/** The start of each part, in bytes from the start of the list: two bytes each, as in busybox. */
const startsOfParts = (names: ReadonlyArray<string>): Buffer => {
  const starts = Buffer.alloc(2 * (parts - 1))
  for (const [at, first] of firstsOfParts(names.length).entries())
    starts.writeUInt16LE(
      names.slice(0, first).reduce((sum, name) => sum + name.length + 1, 0),
      2 * at
    )
  return starts
}

/**
 * The list with other names for the removed ones, at the same length. A name is looked up in one part, the last whose first name
 * is not after it, from that name to the part's end. So only the first name of a part must stay in order: it gets one more
 * character if it would come before its neighbour, and `busybox` gives up the room.
 */
const renamed = (
  known: ReadonlyArray<string>,
  names: ReadonlySet<string>,
  firsts: ReadonlySet<number>
): ReadonlyArray<string> => {
  const after = [...known]
  const own = known.indexOf(ownName)
  let room = own < 0 || firsts.has(own) ? 0 : ownName.length - 1
  for (const [at, name] of known.entries()) {
    if (at === own || !names.has(name)) continue
    const above = name.slice(0, -1)
    if (!firsts.has(at) || (known[at - 1] ?? "") < above + forgotten) after[at] = above + forgotten
    else if (room > 0) {
      after[at] = above + String.fromCharCode(name.charCodeAt(above.length) - 1) + afterAll
      room -= 1
    }
  }
  if (own >= 0) after[own] = (firsts.has(own) ? ownName.slice(0, -1) : ownName.slice(0, room)) + forgotten
  return after
}

/** Busybox without those of its programs; the same bytes where it has none of them, or is no busybox. */
export const withoutPrograms = (busybox: Uint8Array, names: ReadonlySet<string>): Uint8Array => {
  const bytes = Buffer.from(busybox)
  const start = bytes.indexOf(firstNames)
  if (start < 0) return busybox
  const known = bytes.toString("latin1", start, bytes.indexOf("\0\0", start, "latin1")).split("\0")
  if (!known.some((name) => names.has(name))) return busybox
  const startsAt = known.length < parts ? -1 : bytes.indexOf(startsOfParts(known))
  const after = renamed(known, names, new Set(startsAt < 0 ? [] : firstsOfParts(known.length)))
  bytes.write(after.join("\0"), start, "latin1")
  if (startsAt >= 0) startsOfParts(after).copy(bytes, startsAt)
  return new Uint8Array(bytes)
}
