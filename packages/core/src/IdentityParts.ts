/**
 * The valid values of each part of a machine's identity, defined once for all callers that choose one.
 *
 * @module
 */
import { Schema } from "effect"
import { contractLimits } from "./contract/contract.ts"

/** The requirement for each part, in words. */
export const expectedPart = {
  hostname: `a host name of letters, digits and inner hyphens, perhaps with dots between, at most ${contractLimits.hostnameBytes} bytes`,
  machineId: "32 lower-case hexadecimal digits",
  entropy: `${contractLimits.entropyLeastBytes} to ${contractLimits.entropyBytes} bytes of entropy`,
  text: "text without NUL characters",
  name: "names without = and NUL characters"
} as const

const label = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
const names = new RegExp(`^${label}(\\.${label})*$`)

/**
 * A host name: labels of RFC 1123 (letters and digits, hyphens between them, at most 63 bytes), joined by dots; as many bytes as Linux
 * takes.
 */
export const Hostname = Schema.String.check(
  Schema.makeFilter((text: string) => text.length <= contractLimits.hostnameBytes && names.test(text), {
    expected: expectedPart.hostname
  })
)

/** As `/etc/machine-id` has it. */
export const MachineId = Schema.String.check(
  Schema.makeFilter((text: string) => /^[0-9a-f]{32}$/.test(text), { expected: expectedPart.machineId })
)

const { entropyBytes, entropyLeastBytes } = contractLimits

/** The seed of the kernel's random source. */
export const Entropy = Schema.Uint8Array.check(
  Schema.makeFilter((bytes: Uint8Array) => bytes.length >= entropyLeastBytes && bytes.length <= entropyBytes, {
    expected: expectedPart.entropy
  })
)

/** Text that C can hold. */
export const PlainText = Schema.String.check(
  Schema.makeFilter((text: string) => !text.includes("\0"), { expected: expectedPart.text })
)

/** Name of a variable of an environment. */
export const EnvironmentName = Schema.String.check(
  Schema.makeFilter((text: string) => /^[^=\0]+$/.test(text), { expected: expectedPart.name })
)

/** Variables by name; a value may be a secret. */
export const SecretEnvironment = Schema.Record(EnvironmentName, Schema.Union([PlainText, Schema.Redacted(PlainText)]))

/** A signal's number; 0 means none, or no change. */
export const SignalNumber = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 64 }))
