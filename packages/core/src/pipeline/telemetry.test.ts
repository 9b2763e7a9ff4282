import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Otlp from "effect/observability/Otlp"
import { Journal } from "../journal/Journal.ts"
import { SnapshotStore } from "../snapshot/SnapshotStore.ts"
import { kindTrigger } from "../testing/kindTrigger.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import { ScriptedVmm } from "../testing/ScriptedVmm.ts"
import * as Pipeline from "./Pipeline.ts"

interface Span {
  readonly name: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly traceId: string
  readonly attributes: ReadonlyArray<{ readonly key: string }>
  readonly status: { readonly code: number }
}

/** A collector as OpenTelemetry's own: takes what exporters send over HTTP. */
const collector = Effect.acquireRelease(
  Effect.callback<{ readonly url: string; readonly received: Map<string, Array<unknown>>; readonly close: () => void }>(
    (resume) => {
      const received = new Map<string, Array<unknown>>()
      const server = createServer((request, response) => {
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => chunks.push(chunk))
        request.on("end", () => {
          const path = request.url ?? ""
          const body: unknown = JSON.parse(Buffer.concat(chunks).toString())
          received.set(path, [...(received.get(path) ?? []), body])
          response.writeHead(200, { "content-type": "application/json" }).end("{}")
        })
      })
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        resume(
          Effect.succeed({
            url: `http://127.0.0.1:${port}`,
            received,
            close: () => {
              server.closeAllConnections()
              server.close()
            }
          })
        )
      })
    }
  ),
  ({ close }) => Effect.sync(close)
)

const host = Layer.provideMerge(
  Layer.mergeAll(ScriptedVmm.layer(), SnapshotStore.layer, Journal.layerMemory),
  new MemoryFiles().layer
)

/** Values under a key, anywhere in some JSON. */
const all = (value: unknown, key: string): ReadonlyArray<unknown> =>
  typeof value !== "object" || value === null
    ? []
    : Object.entries(value).flatMap(([name, held]) => [
        ...(name === key && Array.isArray(held) ? held : []),
        ...all(held, key)
      ])

describe("a run under OpenTelemetry", () => {
  it.live("arrives-at-a-collector-as-one-trace-of-its-stages-and-its-metrics", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { received, url } = yield* collector
        const telemetry = Otlp.layerJson({ baseUrl: url, resource: { serviceName: "captures" } }).pipe(
          Layer.provide(FetchHttpClient.layer)
        )
        const [runId, failed] = yield* Effect.scoped(
          Effect.gen(function* () {
            const good = yield* Pipeline.run(
              { kernelPath: "/kernel" },
              {
                policy: kindTrigger("ListenerBound"),
                target: "/s/good",
                validate: Pipeline.execProbe({ argv: ["echo", "alive"] })
              }
            )
            const bad = yield* Effect.flip(
              Pipeline.run({ kernelPath: "/missing" }, { policy: kindTrigger("ListenerBound"), target: "/s/bad" })
            )
            return [good.runId, bad._tag] as const
          })
          // The rest is sent when the layer's scope closes.
        ).pipe(Effect.provide(Layer.merge(host, telemetry), { local: true }))
        assert.isNotEmpty(runId)
        assert.strictEqual(failed, "BootError")

        const spans = all(received.get("/v1/traces"), "spans") as ReadonlyArray<Span>
        const runs = spans.filter(({ name }) => name === "run")
        assert.strictEqual(runs.length, 2)
        const good = runs.find(({ status }) => status.code !== 2)
        const stages = spans.filter(
          ({ name, parentSpanId }) => name.startsWith("stage ") && parentSpanId === good?.spanId
        )
        assert.deepStrictEqual(
          stages.map(({ name }) => name),
          ["boot", "watch", "freeze", "capture", "publish", "validate"].map((stage) => `stage ${stage}`)
        )
        for (const { attributes, traceId } of stages) {
          assert.strictEqual(traceId, good?.traceId)
          assert.include(
            attributes.map(({ key }) => key),
            "attempt"
          )
        }
        // A stage's own spans are below it.
        const byId = new Map(spans.map((span) => [span.spanId, span]))
        const above = (name: string) => byId.get(spans.find((span) => span.name === name)?.parentSpanId ?? "")?.name
        assert.strictEqual(above("SnapshotStore.publish"), "stage publish")
        assert.strictEqual(above("Gate.restore"), "stage validate")
        assert.strictEqual(spans.filter(({ status }) => status.code === 2).length, 2)

        const metrics = (all(received.get("/v1/metrics"), "metrics") as ReadonlyArray<{ readonly name: string }>).map(
          ({ name }) => name
        )
        for (const name of [
          "stillpoint_stage_millis",
          "stillpoint_stage_failures_total",
          "stillpoint_capture_pause_millis",
          "stillpoint_runs_ended_total"
        ]) {
          assert.include(metrics, name)
        }
      })
    )
  )
})
