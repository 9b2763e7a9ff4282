/**
 * The boots in the corpus of timelines, each named for what it proves.
 *
 * @module
 */
import type { BootSpec } from "@stillpoint/core"
import type { GuestConfigInput } from "@stillpoint/kit"

/** One boot to record. */
export interface Scenario {
  /** File name under `fixtures/timelines/`, without `.ndjson`. */
  readonly name: string
  /** What the recording proves. */
  readonly proves: string
  readonly guest: GuestConfigInput
  readonly boot?: Pick<BootSpec, "commandLine">
  /** Guest time after `AgentReady` at which the recording ends, if the guest has not ended by then. */
  readonly forMillis: number
  /** The host's action meanwhile, so many milliseconds after `AgentReady`. */
  readonly quiesceAtMillis?: number
  readonly thawAtMillis?: number
}

const shell = (script: string): GuestConfigInput => ({
  workload: { argv: ["/bin/sh", "/workload.sh"] },
  files: { "/workload.sh": { content: `#!/bin/sh\n${script}\n`, mode: 0o755 } }
})

const seconds = (count: number): number => count * 1000

/** All of them. */
export const scenarios: ReadonlyArray<Scenario> = [
  {
    name: "quick-service",
    proves: "a service that listens as soon as it starts",
    guest: { workload: { argv: ["httpd", "-f", "-p", "8080", "-h", "/"] } },
    forMillis: 800
  },
  {
    name: "slow-service",
    proves: "a service that works for two seconds before it listens",
    guest: shell("sleep 2\nexec httpd -f -p 8080 -h /"),
    forMillis: seconds(3)
  },
  {
    name: "two-listeners",
    proves: "the second listener comes 300 ms after the first",
    guest: shell("httpd -p 8080 -h /\nsleep 0.3\nexec httpd -f -p 8443 -h /"),
    forMillis: seconds(1)
  },
  {
    name: "ipv6-listener",
    proves: "a listener on an IPv6 address only",
    guest: { workload: { argv: ["httpd", "-f", "-p", "[::1]:8080", "-h", "/"] } },
    forMillis: 800
  },
  {
    name: "exits-at-once",
    proves: "a workload that ends before anything else happens",
    guest: { workload: { argv: ["true"] } },
    forMillis: 500
  },
  {
    name: "parks",
    proves: "a workload that goes into the background without a listener",
    guest: shell("(sleep 100) </dev/null >/dev/null 2>&1 &\nexit 0"),
    forMillis: 800
  },
  {
    name: "crashes",
    proves: "a workload that a signal ends",
    guest: shell("sleep 0.2\nkill -SEGV $$"),
    forMillis: 800
  },
  {
    name: "floods-its-console",
    proves: "thousands of lines on the console between pre-exec and the listener",
    guest: shell(
      "n=0\nwhile [ $n -lt 1500 ]; do echo line $n of a flood; n=$((n+1)); done\nexec httpd -f -p 8080 -h /"
    ),
    forMillis: seconds(2)
  },
  {
    name: "forged-markers",
    proves: "a workload that prints the markers of a trusted init on the console",
    guest: shell(
      "echo workload-pre-exec\necho heartbeat counter=99\necho workload-parked\nsleep 0.2\necho workload-pre-exec\nexec httpd -f -p 8080 -h /"
    ),
    forMillis: 800
  },
  {
    name: "never-ready",
    proves: "a workload that works for ever and never listens",
    guest: shell("while :; do sleep 0.05; done"),
    forMillis: seconds(2)
  },
  {
    name: "kernel-panic",
    proves: "a kernel that panics after the agent was ready",
    guest: { ...shell("sleep 0.2\necho c > /proc/sysrq-trigger\nsleep 1"), privileged: true },
    forMillis: seconds(2)
  },
  {
    name: "heartbeats-stop",
    proves: "an agent that is frozen: its heartbeats stop while the guest lives on",
    guest: shell("sleep 0.5\nexec httpd -f -p 8080 -h /"),
    forMillis: seconds(2),
    quiesceAtMillis: 700
  },
  {
    name: "freezes-and-thaws",
    proves: "a workload that is frozen for a while: nothing of it meanwhile, and what is due with the thaw",
    guest: shell("n=0\nwhile :; do n=$((n+1)); echo tick $n; sleep 0.05; done"),
    forMillis: 1200,
    quiesceAtMillis: 520,
    thawAtMillis: 830
  },
  {
    name: "workload-does-not-exist",
    proves: "a workload that cannot be executed is reported by the agent",
    guest: { workload: { argv: ["/does/not/exist"] } },
    forMillis: 500
  },
  {
    name: "custom-events",
    proves: "events that the workload defines, with their payloads",
    guest: shell(
      "stillpoint-emit warm '{\"classes\":10}'\nsleep 0.1\nstillpoint-emit warm '{\"classes\":1200}'\nexec httpd -f -p 8080 -h /"
    ),
    forMillis: 800
  },
  {
    name: "works-in-bursts",
    proves: "a service that works in bursts once it listens, and then rests",
    guest: shell(
      "httpd -p 8080 -h /\nfor burst in 1 2 3 4 5 6; do n=0; while [ $n -lt 1000 ]; do n=$((n+1)); done; sleep 0.01; done\nexec sleep 100"
    ),
    forMillis: 800
  },
  {
    name: "never-calm",
    proves: "a service that works without a pause once it listens",
    guest: shell("httpd -p 8080 -h /\nwhile :; do :; done"),
    forMillis: 800
  },
  {
    name: "goes-on-printing",
    proves: "a service that prints a line every 10 ms for a while once it listens, and rests in between",
    guest: shell(
      "httpd -p 8080 -h /\nn=0\nwhile [ $n -lt 30 ]; do echo request $n; sleep 0.01; n=$((n+1)); done\nexec sleep 100"
    ),
    forMillis: 800
  },
  {
    name: "no-workload",
    proves: "an agent that only serves: heartbeats, and nothing to wait for",
    guest: {},
    forMillis: 800
  }
]

/** The scenarios that are recorded again whenever the guest changes, and compared with a boot. */
export const keptScenarios: ReadonlyArray<string> = ["quick-service", "crashes"]
