import { describe, layer as withLayer } from "@effect/vitest"
import { vmmLaws } from "@stillpoint/core/testing"
import { enough, folder, layer, linux } from "./guests.ts"

const laws = vmmLaws({
  spec: linux(),
  kind: "WorkloadPreExec",
  withinNanos: enough,
  forks: true,
  directory: folder
})

describe("machines of the native core keep the laws of the port", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    for (const { check, name } of laws) it.effect(name, () => check)
  })
})
