/**
 * Packages that the archive has dropped, from a service that keeps every version there ever was.
 *
 * ```text
 * /mr/binary/<name>/<version>/binfiles?fileinfo=1   which files a version had: { fileinfo: { <sha1>: [{ name, size }] } }
 * /file/<sha1>                                      the bytes
 * ```
 *
 * The service is not trusted: its files count only if they match the lock's digest.
 *
 * Source: the machine-readable interface of snapshot.debian.org.
 *
 * @module
 */
import { Effect, Schema } from "effect"
import { FormatInvalid, KitError, PackageUnknown } from "../KitError.ts"
import { download, fetchText, type OnProgress } from "./download.ts"
import type { ArchivePackage } from "./PackageIndex.ts"

const Sha1 = Schema.String.check(Schema.isPattern(/^[0-9a-f]{40}$/))
const Answer = Schema.fromJsonString(
  Schema.Struct({
    fileinfo: Schema.Record(Sha1, Schema.Array(Schema.Struct({ name: Schema.String, size: Schema.Natural })))
  })
)
const answerBytesMax = 4 << 20

/** Fetches exactly the package `item` from the service at `url` to `target`. */
export const fetchPast = Effect.fn("PastPackages.fetch")(function* (
  url: string,
  item: Omit<ArchivePackage, "depends">,
  target: string,
  onProgress: OnProgress
) {
  const source = `${url}/mr/binary/${encodeURIComponent(item.name)}/${encodeURIComponent(item.version)}/binfiles?fileinfo=1`
  const text = yield* fetchText(source, answerBytesMax)
  const { fileinfo } = yield* Schema.decodeUnknownEffect(Answer)(text).pipe(
    Effect.mapError(
      (error) =>
        new KitError({ reason: new FormatInvalid({ source, expected: "files of a version", found: error.message }) })
    )
  )
  const name = item.filename.slice(item.filename.lastIndexOf("/") + 1)
  const found = Object.entries(fileinfo).find(([, files]) =>
    files.some((file) => file.name === name && file.size === item.sizeBytes)
  )
  if (found === undefined) return yield* new KitError({ reason: new PackageUnknown({ name, source }) })
  yield* download(`${url}/file/${found[0]}`, item, target, onProgress)
})
