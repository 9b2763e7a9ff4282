/** The agent's promises about listeners: told the moment they are there, and the moment they have gone. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { boot, layer, lines, shell, told, until } from "./testing/softGuest.ts"

const kinds = [
  "ListenerBound",
  "ListenerClosed",
  "UnixListenerBound",
  "UnixListenerClosed",
  "WorkloadParked",
  "WorkloadExited",
  "Custom"
] as const

const internet =
  (_tag: "ListenerBound" | "ListenerClosed") => (protocol: "tcp" | "udp", address: string, port: number) => ({
    _tag,
    protocol,
    address,
    port
  })
const bound = internet("ListenerBound")
const closed = internet("ListenerClosed")
const boundUnix = (path: string) => ({ _tag: "UnixListenerBound", path })
const closedUnix = (path: string) => ({ _tag: "UnixListenerClosed", path })
const exited = (code: number) => ({ _tag: "WorkloadExited", code, signal: null })
const sent = (name: string) => ({ _tag: "Custom", name, payload: null })

it.effect("the-workload-executes-nothing-between-listening-and-the-report", () =>
  Effect.gen(function* () {
    const machine = yield* boot(shell("probe listen-again; echo after", { holdNanos: 0 }))
    yield* until(machine, "ListenerBound")
    assert.notInclude(lines(yield* machine.eventsSoFar(0)), "after")
    yield* until(machine, "WorkloadExited")
    assert.include(lines(yield* machine.eventsSoFar(0)), "after")
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

const any = "0.0.0.0"

for (const [name, script, expected] of [
  [
    "leaves-a-server-behind",
    "httpd -p 80; sleep 1; killall httpd & exit 0",
    [bound("tcp", "::", 80), closed("tcp", "::", 80), exited(0)]
  ],
  [
    "listens-in-many-ways",
    [
      "probe listen-again; probe thread-listen",
      "probe unix-peer || exit 20",
      "probe bind-as 1000 53 && exit 21",
      "probe bind-as 1000 5300 || exit 22",
      "probe udp ::1 53 & usleep 100000; kill $!; wait",
      "probe udp 0.0.0.0 0 & usleep 100000; kill $!; wait",
      "exit 9"
    ].join("\n"),
    // Each once, however often it calls listen; no refused bind, and no client's port.
    [
      bound("tcp", any, 7000),
      closed("tcp", any, 7000),
      bound("tcp", any, 7001),
      closed("tcp", any, 7001),
      boundUnix("/tmp/probe.socket"),
      closedUnix("/tmp/probe.socket"),
      bound("udp", any, 5300),
      closed("udp", any, 5300),
      bound("udp", "::1", 53),
      closed("udp", "::1", 53),
      exited(9)
    ]
  ],
  [
    "listens-on-more-than-one-path",
    "probe mptcp 8080 & usleep 50000; kill $!; wait",
    [bound("tcp", any, 8080), closed("tcp", any, 8080), exited(0)]
  ],
  [
    "listens-in-the-unix-domain",
    [
      "probe unix stream /tmp/one & usleep 50000; kill $!; wait",
      "probe unix seqpacket @two/parts & usleep 50000; kill -9 $!; wait",
      "exit 0"
    ].join("\n"),
    [boundUnix("/tmp/one"), closedUnix("/tmp/one"), boundUnix("@two/parts"), closedUnix("@two/parts"), exited(0)]
  ],
  [
    "serves-in-the-unix-domain-after-its-start",
    "probe unix stream @daemon & usleep 50000; exit 0",
    [boundUnix("@daemon")]
  ]
] as const) {
  it.effect(`a-workload-that-${name}-is-told-as-that`, () =>
    Effect.gen(function* () {
      const machine = yield* boot(shell(script, { holdNanos: 0 }))
      yield* machine.run({ kinds: ["WorkloadExited", "WorkloadParked"], budgetNanos: 3e9 })
      assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* told(machine, ...kinds), expected)
    }).pipe(Effect.provide(layer), TestClock.withLive)
  )
}

for (const [how, expected] of [
  ["close", [closed("tcp", any, 90), sent("after")]],
  ["shutdown", [closed("tcp", any, 90), sent("after")]],
  ["exec", [closed("tcp", any, 90), sent("after")]],
  ["exit", [closed("tcp", any, 90)]],
  // Any holder of a descriptor keeps the listener open.
  ["fork", [sent("after"), sent("last"), closed("tcp", any, 90)]],
  ["pass", [sent("last"), closed("tcp", any, 90), sent("after")]]
] as const) {
  it.effect(`a-listener-goes-with-its-last-descriptor-${how}`, () =>
    Effect.gen(function* () {
      const machine = yield* boot(shell(`probe listen-and 90 ${how}; exit 5`, { holdNanos: 0 }))
      yield* until(machine, "WorkloadExited")
      assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* told(machine, ...kinds), [
        bound("tcp", any, 90),
        ...expected,
        exited(5)
      ])
    }).pipe(Effect.provide(layer), TestClock.withLive)
  )
}

it.effect("a-name-that-several-sockets-have-is-open-until-the-last-has-gone", () =>
  Effect.gen(function* () {
    const script =
      "probe shared 80 & first=$!; probe shared 80 & second=$!; usleep 50000; kill $first; stillpoint-emit one"
    const machine = yield* boot(shell(`${script}; usleep 50000; kill $second; wait; exit 0`, { holdNanos: 0 }))
    yield* until(machine, "WorkloadExited")
    assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* told(machine, ...kinds), [
      bound("tcp", any, 80),
      sent("one"),
      closed("tcp", any, 80),
      exited(0)
    ])
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

it.effect("a-filter-of-the-workloads-own-works-where-the-agent-looks-and-is-named-where-it-does-not", () =>
  Effect.gen(function* () {
    for (const [listeners, code, reasons] of [
      ["seccomp", 16, ["ListenerSeccompBusy"]],
      ["scan", 0, []]
    ] as const) {
      const machine = yield* boot(shell("exec probe own-filter", { listeners, holdNanos: 0 }))
      const end = yield* until(machine, "WorkloadExited")
      assert(end._tag === "WorkloadExited" && end.code === code)
      const refused = (yield* machine.eventsSoFar()).filter((event) => event._tag === "AgentRejected")
      assert.deepStrictEqual<ReadonlyArray<unknown>>(
        refused.map(({ reason }) => reason),
        reasons
      )
    }
  }).pipe(Effect.provide(layer), TestClock.withLive)
)

it.effect("where-the-kernel-tells-nothing-listeners-and-their-ends-are-found-by-looking", () =>
  Effect.gen(function* () {
    const script =
      "httpd -f -p 127.0.0.1:8081 & server=$!; probe unix stream @x & usleep 100000; kill $server $!; sleep 1"
    const machine = yield* boot(shell(script, { listeners: "scan" }))
    yield* until(machine, "WorkloadExited")
    const events = new Set((yield* told(machine, ...kinds)).map((event) => JSON.stringify(event)))
    for (const expected of [
      bound("tcp", "127.0.0.1", 8081),
      closed("tcp", "127.0.0.1", 8081),
      boundUnix("@x"),
      closedUnix("@x")
    ])
      assert.isTrue(events.has(JSON.stringify(expected)), JSON.stringify(expected))
  }).pipe(Effect.provide(layer), TestClock.withLive)
)
