/**
 * The ports of a machine that has no network: a recording, a scripted guest.
 *
 * @module
 */
import { Effect } from "effect"
import type { GuestPorts } from "./GuestPorts.ts"
import { MachineError } from "./MachineErrors.ts"

const none = Effect.fail(
  new MachineError({
    reason: {
      _tag: "InterfaceMissing",
      message: "the machine has no network interface: expected one that was booted with `network`"
    }
  })
)

export const noGuestPorts: GuestPorts = { publish: () => none, connections: none, allow: () => none }
