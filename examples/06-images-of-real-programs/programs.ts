/**
 * Real programs, unchanged, from Debian's packages, with a request to each and its answer.
 *
 * @module
 */

/** A program of an image, and its part in this example. */
export interface Program {
  readonly memoryMib: number
  /** The folder that outlives its machines; `null` for a program that keeps nothing. */
  readonly data: string | null
  /** Commands that have it keep something. */
  readonly write: ReadonlyArray<ReadonlyArray<string>>
  /** The request for it. */
  readonly read: ReadonlyArray<string>
  readonly answer: RegExp
}

const wget = (url: string, ...more: ReadonlyArray<string>) => ["busybox", "wget", "-q", "-O", "-", ...more, url]
const psql = (...commands: ReadonlyArray<string>) => [
  "/usr/lib/postgresql/17/bin/psql",
  "--host=127.0.0.1",
  "--username=postgres",
  "--tuples-only",
  "--no-align",
  ...commands.map((command) => `--command=${command}`)
]

/** By the names of the test images (`make images`). */
export const programs: Readonly<Record<string, Program>> = {
  redis: {
    memoryMib: 256,
    data: "/data",
    write: [
      ["redis-cli", "set", "greeting", "kept by redis"],
      ["redis-cli", "rpush", "list", "a", "b", "c"]
    ],
    read: ["redis-cli", "--raw", "eval", "return {redis.call('get', 'greeting'), redis.call('llen', 'list')}", "0"],
    answer: /^kept by redis\n3\n$/
  },
  python: {
    memoryMib: 256,
    data: "/data",
    write: [
      wget("http://127.0.0.1:8000/", "--post-data=kept by sqlite"),
      wget("http://127.0.0.1:8000/", "--post-data=twice")
    ],
    read: wget("http://127.0.0.1:8000/"),
    answer: /^1 kept by sqlite\n2 twice\n$/
  },
  postgres: {
    memoryMib: 512,
    data: "/data",
    write: [psql("create table notes (text text)", "insert into notes values ('kept by postgres')")],
    read: psql("select text from notes"),
    answer: /^kept by postgres\n$/
  },
  nginx: {
    memoryMib: 256,
    data: null,
    write: [],
    read: wget("http://127.0.0.1/"),
    answer: /^<p>served by nginx<\/p>\n$/
  },
  nodejs: {
    memoryMib: 512,
    data: null,
    write: [wget("http://127.0.0.1:3000/")],
    read: wget("http://127.0.0.1:3000/"),
    answer: /^request \d\n$/
  }
}
