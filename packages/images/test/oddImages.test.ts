import { readFileSync } from "node:fs"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { BootedKit, GuestKit } from "@stillpoint/kit"
import { Effect } from "effect"
import { layer, linesOf, runTo, smallImage } from "./guests.ts"

const longestMillis = 600_000

/** Prints its arguments, its rights, and the effect of a set-user-id program; then serves. */
const script = `#!/usr/bin/env sh
echo "run: $0 $# $*"
echo "in: $(pwd)"
echo "by: $(id -u) $(id -g) $HOME"
echo "along: $PATH"
touch /etc/mine 2>/dev/null && echo "wrote what is root's"
touch /home/mine && echo "wrote what is ada's"
echo "as root: $(/sbin/su -c 'touch /var/root-was-here; id -u') $(stat -c %u /var/root-was-here)"
tr "\\0" "\\n" </proc/$$/environ | grep -c -e "^a.b=c$" -e "^FOO-BAR=1$" -e "^E=$" -e "^D=2$"
trap "echo stopped as it says; exit 0" 37
nc -l -p 5353 &
wait
`

describe("an image that is unlike others", () => {
  withLayer(layer, { excludeTestServices: true, timeout: longestMillis })((it) => {
    it.effect(
      "is-run-as-a-container-of-it-would-be",
      () =>
        Effect.gen(function* () {
          const { busyboxPath } = yield* Effect.flatMap(GuestKit, (kit) => kit.files)
          const busybox = readFileSync(busyboxPath)
          const image = yield* smallImage(
            [
              // Folders of programs behind links, of either kind.
              { path: "usr/", type: "directory" },
              { path: "usr/bin", type: "symlink", link: "/programs/bin" },
              { path: "programs/bin/", type: "directory" },
              { path: "sbin", type: "symlink", link: "programs/bin" },
              ...["env", "id", "grep", "pwd", "stat", "tr", "nc"].map((name) => ({
                path: `programs/bin/${name}`,
                type: "symlink" as const,
                link: "/bin/busybox"
              })),
              { path: "programs/bin/su", content: busybox, mode: 0o4755, owner: 0 },
              { path: "etc/", type: "directory", owner: 0 },
              { path: "etc/passwd", content: "root::0:0:root:/:/bin/sh\nada:x:1000:1000::/home:/bin/sh\n", owner: 0 },
              { path: "home/", type: "directory" },
              { path: "app/tools/", type: "directory" },
              { path: "app/tools/run.sh", content: script, mode: 0o755 }
            ],
            {
              User: "ada",
              WorkingDir: "//app/./missing/..//",
              Entrypoint: ["tools/run.sh"],
              Cmd: ["one", "two words"],
              Env: ["a.b=c", "FOO-BAR=1", "E=", "D=1", "D=2", "nothing"],
              StopSignal: "SIGRTMIN+3",
              ExposedPorts: { "53/udp": {}, "5353/tcp": {} },
              Volumes: { "/var": {} },
              ArgsEscaped: true,
              Healthcheck: { Test: ["NONE"] }
            }
          )
          const { create } = yield* BootedKit
          const { exposedPorts, machine } = yield* create({ image })
          const bound = yield* runTo(machine, "ListenerBound")
          assert(bound._tag === "ListenerBound")
          assert.deepStrictEqual([exposedPorts, bound.protocol, bound.port], [["53/udp", "5353/tcp"], "tcp", 5353])
          const lines = yield* linesOf(machine)
          assert.deepStrictEqual(lines.slice(lines.findIndex((line) => line.startsWith("run: "))), [
            "run: tools/run.sh 2 one two words",
            "in: /app",
            "by: 1000 1000 /home",
            "along: /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "wrote what is ada's",
            "as root: 0 0",
            "4"
          ])
          yield* machine.agent.powerOff()
          assert.include(yield* linesOf(machine), "stopped as it says")
        }),
      longestMillis
    )
  })
})
