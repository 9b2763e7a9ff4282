/**
 * What the parts of a machine's identity may be: said once, and asked wherever somebody chooses one.
 *
 * @module
 */
import { Schema } from "effect"
import { contractLimits } from "./contract/contract.ts"

/** What each part must be, in words. */
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

/** What the kernel's random source begins anew from. */
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

/** A signal's number; 0 stands for none, or for what was said before. */
export const SignalNumber = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 64 }))
