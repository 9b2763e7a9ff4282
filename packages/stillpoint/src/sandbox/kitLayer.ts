/**
 * The guest kits, one for each platform of guests.
 *
 * @module
 */
import { DurableFiles, type GuestPlatform } from "@stillpoint/core"
import { Archive, defaultGuestKitConfig, GuestKit, type KitError } from "@stillpoint/kit"
import { NativeAgent } from "@stillpoint/native"
import { Effect, Layer } from "effect"
import { LongWorkListener } from "./LongWork.ts"

/** The guest kit for guests of that platform, from that archive; files of it that are fetched are long work. */
export const kitLayerOf = (
  platform: GuestPlatform,
  archive: Layer.Layer<Archive, KitError> = Archive.layerOf(platform)
) =>
  Layer.provide(
    Layer.unwrap(
      Effect.map(LongWorkListener, (told) =>
        Layer.orDie(
          GuestKit.layerNoDeps({
            ...defaultGuestKitConfig(process.env, platform),
            onProgress: (name, doneBytes, totalBytes) =>
              told({ what: name.slice(name.lastIndexOf("/") + 1), doneBytes, totalBytes })
          })
        )
      )
    ),
    [Layer.orDie(archive), DurableFiles.layer, NativeAgent.layer]
  )

/** The kit for guests that every host runs. */
export const kitLayer = kitLayerOf("riscv64")

const amd64Layer = kitLayerOf("amd64")

/** The kit for guests of that platform: the provided one for `riscv64`. */
export const kitOf = (platform: GuestPlatform): Effect.Effect<GuestKit["Service"], never, GuestKit> =>
  platform === "riscv64" ? GuestKit : Effect.provide(GuestKit, amd64Layer)
