/**
 * Copies a file out of a snapshot, or into a new snapshot that is kept under a name.
 *
 * @module
 */
import { stat } from "node:fs/promises"
import { basename, join, resolve } from "node:path"
import { type FileFault, type GuestFiles, writeWhole } from "@stillpoint/core"
import { Effect, Option, Schema, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { mebibytes } from "../../report/mebibytes.ts"
import { checkedOptions, isFree, SnapshotName } from "../../sandbox/checkedOptions.ts"
import { LongWorkListener } from "../../sandbox/LongWork.ts"
import { Sandbox } from "../../sandbox/Sandbox.ts"
import { ArgumentInvalid } from "../ArgumentInvalid.ts"
import { answer, note, write } from "../Output.ts"
import { json, replace } from "../arguments.ts"
import { encryptionKey, requireKey, signKey } from "../keys.ts"
import { sandboxesWith } from "../layers.ts"
import { isWorkShown } from "../workLine.ts"
import { hostFile } from "../inputFile.ts"

/** `SNAPSHOT:/PATH`. What begins with a dot or a slash is a path of the host's. */
const inGuest = /^([^./][^/]*):(\/.*)$/

interface GuestPath {
  readonly reference: string
  readonly path: string
}

const readPlace = (text: string): string | GuestPath => {
  const [, reference, path] = inGuest.exec(text) ?? []
  return reference === undefined || path === undefined ? text : { reference, path }
}

/** A copy that reports how far it is. */
const told = <E>(content: Stream.Stream<Uint8Array, E>, what: string, totalBytes: number) =>
  Effect.map(LongWorkListener, (listener) => {
    let doneBytes = 0
    const tell = (bytes: Uint8Array) =>
      Effect.sync(() => {
        doneBytes += bytes.byteLength
        listener({ what, doneBytes, totalBytes })
      })
    return Stream.tap(content, tell)
  })

/** 0 where it cannot be told; reading it says why. */
const sizeIn = (files: GuestFiles, path: string) =>
  Effect.orElseSucceed(
    Effect.map(files.stat(path), ({ sizeBytes }) => sizeBytes),
    () => 0
  )

const copyOut = Effect.fnUntraced(function* ({ path, reference }: GuestPath, to: string, json: boolean) {
  const { files } = yield* Sandbox.of(reference)
  // Only the line of a terminal needs the size.
  const sizeInGuest = isWorkShown(json) ? yield* sizeIn(files, path) : 0
  const content = yield* told(files.stream(path), path, sizeInGuest)
  if (to === "-") return yield* Stream.runForEach(content, (bytes) => write(process.stdout, bytes))
  const isDirectory = yield* Effect.promise(() =>
    stat(to).then(
      (found) => found.isDirectory(),
      () => false
    )
  )
  const file = isDirectory ? join(to, basename(path)) : to
  const sizeBytes = yield* writeWhole(file, content)
  yield* answer(json, { file: resolve(file), sizeBytes }, [`${file}: ${mebibytes(sizeBytes)}`])
})

const copyIn = Effect.fnUntraced(function* (
  from: string,
  { path, reference }: GuestPath,
  name: string,
  { json, replace }: { readonly json: boolean; readonly replace: boolean }
) {
  const { content, mode, sizeBytes } = yield* hostFile(from)
  const target = path.endsWith("/") ? path + basename(from) : path
  const sandbox = yield* Sandbox.of(reference)
  let failure: FileFault | undefined
  // The guest's side takes failures of the guest's alone; one of the host's ends the copy by its own name.
  const passed = (yield* told(content, from, sizeBytes)).pipe(
    Stream.catch((error) => {
      failure = error
      return Stream.empty
    })
  )
  yield* sandbox.files.write(target, passed, { mode })
  if (failure !== undefined) return yield* failure
  const kept = yield* sandbox.snapshot(name, { replace })
  yield* answer(json, { snapshot: kept.digest, name }, [`${name}: ${reference} with ${target}`])
}, Effect.scoped)

export const cpCommand = Command.make(
  "cp",
  {
    from: Argument.String("from").pipe(Argument.withDescription("SNAPSHOT:/PATH, or a file on the host")),
    to: Argument.String("to").pipe(
      Argument.withDescription("A file on the host, - for standard output, or SNAPSHOT:/PATH")
    ),
    name: Flag.String("name").pipe(
      Flag.withDescription(
        "When copying into a snapshot: NAME or NAME:TAG of the new snapshot (the original never changes)"
      ),
      Flag.optional
    ),
    replace,
    requireKey,
    signKey,
    encryptionKey,
    json
  },
  ({ encryptionKey, from, json, name, replace, requireKey, signKey, to }) =>
    Effect.gen(function* () {
      const [source, target] = [readPlace(from), readPlace(to)]
      if (typeof source !== "string" && typeof target === "string") {
        if (to === "-" && json) yield* note("--json is ignored: standard output is the file")
        return yield* copyOut(source, target, json)
      }
      if (typeof source === "string" && typeof target !== "string") {
        if (Option.isSome(name)) {
          yield* checkedOptions("cp", Schema.Struct({ name: SnapshotName }), { name: name.value })
          if (!replace) yield* isFree(name.value)
          return yield* copyIn(source, target, name.value, { json, replace })
        }
        return yield* new ArgumentInvalid({
          argument: "--name",
          expected: "a name for the new snapshot, since an existing snapshot never changes",
          found: "none"
        })
      }
      return yield* new ArgumentInvalid({
        argument: "from, to",
        expected: "SNAPSHOT:/PATH on one side and a file on the host on the other",
        found: `${from} and ${to}`
      })
    }).pipe(Effect.scoped, sandboxesWith({ json, requireKey, signKey, encryptionKey }))
).pipe(
  Command.withDescription("Copy a file out of a snapshot, or into a new one made from it"),
  Command.withExamples([
    { command: "stillpoint cp web:/etc/os-release ./os-release" },
    { command: "stillpoint cp ./index.html web:/www/index.html --name web:new" }
  ])
)
