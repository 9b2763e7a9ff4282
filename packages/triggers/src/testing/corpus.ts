/**
 * The recorded boots of the repository, and the catalogue of policies that they are decided by.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { decodeTimeline, type RecordedTimeline } from "@stillpoint/core"
import { Result, Schema } from "effect"
import { afterGuestTime } from "../builtin/afterGuestTime.ts"
import { atHeartbeat } from "../builtin/atHeartbeat.ts"
import { never } from "../builtin/never.ts"
import { onConnection } from "../builtin/onConnection.ts"
import { onCustom } from "../builtin/onCustom.ts"
import { onDirtyRateBelow } from "../builtin/onDirtyRateBelow.ts"
import { onEvent } from "../builtin/onEvent.ts"
import { onIdle } from "../builtin/onIdle.ts"
import { onListener } from "../builtin/onListener.ts"
import { onParked } from "../builtin/onParked.ts"
import { onPreExec } from "../builtin/onPreExec.ts"
import { onRequestServed } from "../builtin/onRequestServed.ts"
import { onSerialMatch } from "../builtin/onSerialMatch.ts"
import { defaultActivity, eventHappens } from "../combinators/activity.ts"
import { allOf } from "../combinators/allOf.ts"
import { debounce } from "../combinators/debounce.ts"
import { filter } from "../combinators/filter.ts"
import { firstOf } from "../combinators/firstOf.ts"
import { mapCause } from "../combinators/mapCause.ts"
import { named } from "../combinators/named.ts"
import { orElseAfter } from "../combinators/orElseAfter.ts"
import { precedence } from "../combinators/precedence.ts"
import { quiesce } from "../combinators/quiesce.ts"
import { repeat } from "../combinators/repeat.ts"
import { andThen } from "../combinators/andThen.ts"
import { atLatest } from "../combinators/atLatest.ts"
import { within } from "../combinators/within.ts"
import type { Policy } from "../Policy.ts"
import { SnapshotResources } from "../resources/SnapshotResources.ts"

/** One recorded boot. */
export interface Recording {
  /** File name without its ending. */
  readonly name: string
  readonly timeline: RecordedTimeline
}

/** Every recording in a folder, by name. An unreadable one throws an error with the file's name. */
export const readCorpus = (directory: string): ReadonlyArray<Recording> =>
  readdirSync(directory)
    .filter((file) => file.endsWith(".ndjson"))
    .sort()
    .map((file) => {
      const decoded = decodeTimeline(readFileSync(join(directory, file)))
      if (Result.isFailure(decoded)) throw new Error(`${file}: ${decoded.failure.message}`)
      return { name: file.replace(/\.ndjson$/, ""), timeline: decoded.success }
    })

const calm = { calmFor: "20 millis", agent: "none" } as const
const Warm = Schema.Struct({ classes: Schema.Int.check(Schema.isGreaterThan(1000)) })

/** Policies by name: every built-in trigger and combinator, and the records that people write. */
export const catalogue: Readonly<Record<string, Policy>> = {
  never,
  "after-1s": afterGuestTime("1 second"),
  "after-7s": afterGuestTime("7 seconds"),
  "heartbeat-3": atHeartbeat(3),
  "heartbeat-99-console": atHeartbeat(99, { console: true }),
  listener: onListener(),
  "listener-8443": onListener({ port: 8443 }),
  "listener-ipv6-loopback": onListener({ address: "::1" }),
  "pre-exec": onPreExec(),
  "pre-exec-console": onPreExec({ console: true }),
  connection: onConnection({ port: 8080 }),
  "request-served": onRequestServed(1),
  parked: onParked(),
  exited: onEvent("WorkloadExited"),
  "workload-failed": onEvent("WorkloadFailed"),
  panicked: onEvent("GuestPanicked"),
  "idle-5ms": onIdle("5 millis"),
  "serial-flood": onSerialMatch("line 1000 of"),
  "serial-run-init": onSerialMatch(/Run \/init/),
  "custom-warm": onCustom("warm"),
  "custom-warm-enough": onCustom("warm", Warm),
  "dirty-below-2000": onDirtyRateBelow(2000, "100 millis"),
  "first-of-listener-exited": firstOf([onListener(), onEvent("WorkloadExited")]),
  "precedence-pre-exec-listener": precedence([onPreExec(), onListener(), afterGuestTime("7 seconds")]),
  "all-of-two-listeners": allOf([onListener({ port: 8080 }), onListener({ port: 8443 })]),
  "pre-exec-then-listener": andThen(onPreExec(), onListener()),
  "listener-within-1s": within(onListener(), "1 second"),
  "listener-timeout-1500ms": atLatest(onListener(), "1500 millis"),
  "listener-or-else-heartbeat": orElseAfter(onListener(), "1 second", atHeartbeat(4)),
  "console-quiet-250ms": debounce(onEvent("SerialLine"), "250 millis"),
  "even-heartbeat": filter(
    onEvent("HeartbeatTick"),
    "even-count",
    (cause) => cause._tag === "Event" && cause.event._tag === "HeartbeatTick" && cause.event.count % 2 === 0
  ),
  "listener-as-it-is": mapCause(onListener(), "as-it-is", (cause) => cause),
  "every-second-heartbeat": repeat(andThen(onEvent("HeartbeatTick"), onEvent("HeartbeatTick"))),
  "ready-by-name": named(firstOf([onListener(), onParked()]), "ready"),
  "listener-calm-20ms-capture": quiesce(onListener(), { ...calm, deadline: "200 millis", onDeadline: "capture" }),
  "listener-calm-20ms-abandon": quiesce(onListener(), { ...calm, deadline: "200 millis", onDeadline: "abandon" }),
  "listener-calm-20ms-fail": quiesce(onListener(), { ...calm, deadline: "300 millis", onDeadline: "fail" }),
  "listener-calm-20ms-soon-capture": quiesce(onListener(), { ...calm, deadline: "60 millis", onDeadline: "capture" }),
  "listener-calm-20ms-soon-abandon": quiesce(onListener(), { ...calm, deadline: "60 millis", onDeadline: "abandon" }),
  "listener-calm-20ms-soon-fail": quiesce(onListener(), { ...calm, deadline: "60 millis", onDeadline: "fail" }),
  "listener-quiet-30ms": quiesce(onListener(), {
    calmFor: "30 millis",
    agent: "none",
    activity: [...defaultActivity, eventHappens("SerialLine")],
    deadline: "500 millis",
    onDeadline: "capture"
  }),
  "heartbeat-takes-over-from-listener": quiesce(
    precedence([named(atHeartbeat(2), "heartbeat"), named(onListener(), "listener")]),
    { ...calm, deadline: "200 millis", onDeadline: "capture" }
  ),
  "abandoned-listener-or-after": firstOf([
    quiesce(onListener(), { ...calm, deadline: "60 millis", onDeadline: "abandon" }),
    afterGuestTime("1250 millis")
  ]),
  "listener-frozen": quiesce(onListener(), { calmFor: "5 millis", deadline: "500 millis", onDeadline: "capture" }),
  "resources-nothing": new SnapshotResources({}).toPolicy(),
  "resources-pre-exec": new SnapshotResources({ onPreExec: true }).toPolicy(),
  "resources-pre-exec-calm": new SnapshotResources({ onPreExec: true, quiesceMs: 20 }).toPolicy(),
  "resources-all": new SnapshotResources({
    atHeartbeat: 12,
    onPreExec: true,
    onListener: true,
    onParked: true,
    afterMs: 7000
  }).toPolicy(),
  "resources-listener-after": new SnapshotResources({
    onListener: true,
    onParked: true,
    afterMs: 1500,
    quiesceMs: 10
  }).toPolicy({
    agent: "none"
  })
}
