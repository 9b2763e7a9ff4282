/**
 * A snapshot as one page that needs nothing else: what it is, why it was taken then, its boot, and its run.
 *
 * @module
 */
import {
  decodeTimeline,
  guestTimeInWords,
  runHistory,
  Snapshots,
  SnapshotStore,
  type StoredSnapshot
} from "@stillpoint/core"
import { Effect, Result } from "effect"
import { explainSnapshot } from "../sandbox/Sandbox.ts"
import { bootPicture } from "./bootPicture.ts"
import { escaped } from "./escaped.ts"
import { mebibytes } from "./mebibytes.ts"
import { runPicture } from "./runPicture.ts"

const style = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
pre { overflow-x: auto; padding: 1rem; border: 1px solid; border-radius: .5rem; font-size: .8rem; line-height: 1.35; }
table { border-collapse: collapse; } th, td { text-align: left; vertical-align: top; padding: .2rem 1.2rem .2rem 0; overflow-wrap: anywhere; }
figure { margin: 1rem 0; overflow-x: auto; background: #fff; border-radius: .5rem; }
@media print { pre { white-space: pre-wrap; } }
`

const factsOf = ({
  digest,
  manifest,
  names,
  storedBytes
}: StoredSnapshot): ReadonlyArray<readonly [string, string]> => [
  ["Names", names.length === 0 ? "none" : names.join(", ")],
  ["Digest", digest],
  ...(manifest === null
    ? []
    : ([
        ["Captured at", `${guestTimeInWords(manifest.capture.atNanos)} of guest time`],
        ["Pause", `${(manifest.capture.pauseNanos / 1e6).toFixed(3)} ms of host time`],
        ["Memory", `${manifest.memoryMib} MiB, ${mebibytes(storedBytes)} on the disk`],
        ["Engine", manifest.engine]
      ] as const))
]

/** The page of the snapshot that a reference means: HTML in one string, no script, nothing to load. */
export const snapshotReport = Effect.fn("snapshotReport")(function* (reference: string) {
  const snapshots = yield* Snapshots
  const snapshot = yield* snapshots.get(reference, { allowUnvalidated: true })
  const stored = yield* snapshots.inspect(snapshot.manifest.digest)
  const recorded = decodeTimeline(yield* SnapshotStore.use((store) => store.timeline(snapshot)))
  const events = Result.isSuccess(recorded) ? recorded.success.events : []
  const { atNanos } = snapshot.manifest.capture
  const boot = bootPicture(events, [{ atNanos, label: "captured" }])
  const why = explainSnapshot(snapshot)
  // The run is in the journal of whoever took the snapshot; an imported one has none here.
  const run = yield* Effect.option(runHistory(snapshot.manifest.runId))
  const drawn = run._tag === "Some" && run.value.stages.length > 0 ? runPicture(run.value) : null
  const title = escaped(stored.names[0] ?? stored.digest.slice(0, 12))
  const section = (heading: string, body: string): string => `<section><h2>${heading}</h2>\n${body}\n</section>\n`
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Snapshot ${title}</title><style>${style}</style></head>
<body>
<main>
<h1>Snapshot ${title}</h1>
<table>${factsOf(stored)
    .map(([name, value]) => `<tr><th scope="row">${escaped(name)}</th><td>${escaped(value)}</td></tr>`)
    .join("")}</table>
${why === null ? "" : section("Why then", `<p>${why.split("\n").map(escaped).join("<br>\n")}</p>`)}${section(
    "The boot",
    `<pre tabindex="0">${boot.map(escaped).join("\n")}</pre><p>${events.length} events.</p>`
  )}${drawn === null ? "" : section("The run", `<figure>${drawn}</figure>`)}</main>
</body>
</html>
`
})
