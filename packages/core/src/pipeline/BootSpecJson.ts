/**
 * The form of a boot specification in journals and manifests.
 *
 * @module
 */
import type { Schema } from "effect"
import { sha256 } from "../snapshot/Manifest.ts"
import type { BootSpec } from "../Vmm.ts"

/** The JSON of a boot specification: bulk bytes are named by their digest. */
export const bootSpecJson = (spec: BootSpec): { readonly [key: string]: Schema.Json } => {
  const { disks, eventQuotas, initramfs, network, ...rest } = spec
  const bytes =
    initramfs === undefined ? {} : { initramfsBytes: initramfs.byteLength, initramfsSha256: sha256(initramfs) }
  const quotas =
    eventQuotas === undefined
      ? {}
      : { eventQuotas: Object.fromEntries(Object.entries(eventQuotas).map(([kind, quota]) => [kind, { ...quota }])) }
  const interfaces = network === undefined ? {} : { network: { ...network } }
  const described = disks === undefined ? {} : { disks: disks.map((disk) => ({ ...disk })) }
  const said = Object.entries({ ...rest, ...described, ...interfaces, ...quotas, ...bytes }).filter(
    ([, value]) => value !== undefined
  )
  return Object.fromEntries(said) as { readonly [key: string]: Schema.Json }
}
