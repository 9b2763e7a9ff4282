/**
 * Checks requests to an agent before anything is sent, since a caller may not use types.
 *
 * @module
 */
import { Duration, Effect, Option, Schema } from "effect"
import { describeValue } from "../describeValue.ts"
import { isFunction, isRecord, kindProblems, orAbsent, unknownProblems } from "../optionProblems.ts"
import type { GuestNanos } from "../GuestEvent.ts"
import { Entropy, Hostname, MachineId, SecretEnvironment, SignalNumber } from "../IdentityParts.ts"
import { MachineError, type MachineFailureReason } from "../MachineErrors.ts"
import { readDuration } from "../readDuration.ts"
import type { AnswerTime, IdentitySpec } from "../Vmm.ts"

const refuse = (_tag: "InvalidRun" | "InvalidIdentity" | "PortUnknown" | "FrameInvalid", message: string) =>
  new MachineError({ reason: { _tag, message } satisfies MachineFailureReason })

const timeNames = { within: true, onSent: true } as const

/** Guest time within which an operation must be answered. */
export const checkedWithin = (
  operation: string,
  time: AnswerTime | undefined,
  absent: Duration.Input = "5 seconds"
): Effect.Effect<GuestNanos, MachineError> =>
  Effect.suspend(() => {
    const given: unknown = time ?? {}
    if (!isRecord(given)) {
      return refuse("InvalidRun", `${operation}: expected { within }, found ${describeValue(given)}`)
    }
    const within = Option.map(readDuration(given["within"] ?? absent), Duration.toMillis)
    const isTime = Option.isSome(within) && within.value >= 0
    const problems = [
      ...unknownProblems(operation, given, timeNames),
      ...kindProblems(`${operation}.onSent`, given["onSent"], "a function", orAbsent(isFunction)),
      ...(isTime
        ? []
        : kindProblems(
            `${operation}.within`,
            given["within"],
            'a duration of 0 or more, such as "5 seconds"',
            () => false
          ))
    ]
    return isTime && problems.length === 0
      ? Effect.succeed(within.value * 1e6)
      : refuse("InvalidRun", problems.join("; "))
  })

const identity = Schema.Struct({
  entropy: Entropy,
  realtimeNanos: Schema.NullOr(Schema.BigInt.check(Schema.isGreaterThanOrEqualToBigInt(0n))),
  hostname: Schema.NullOr(Hostname),
  machineId: Schema.NullOr(MachineId),
  env: SecretEnvironment,
  thaw: Schema.Boolean,
  hookTimeoutNanos: Schema.optionalKey(Schema.Natural),
  signal: Schema.optionalKey(SignalNumber)
})

const decodeIdentity = Schema.decodeUnknownEffect(identity, { errors: "all", onExcessProperty: "error" })

/** A new identity, or everything that is wrong with it. */
export const checkedIdentity = (spec: IdentitySpec): Effect.Effect<IdentitySpec, MachineError> =>
  Effect.mapError(decodeIdentity(spec), ({ message }) => refuse("InvalidIdentity", `new identity: ${message}`))

/** The latest time that 64 bits hold. */
const mostNanos = 2n ** 63n - 1n

/** A time of the wall clock. */
export const checkedClock = (realtimeNanos: unknown): Effect.Effect<bigint, MachineError> =>
  typeof realtimeNanos === "bigint" && realtimeNanos >= 0n && realtimeNanos <= mostNanos
    ? Effect.succeed(realtimeNanos)
    : Effect.fail(
        refuse(
          "InvalidIdentity",
          `setClock: expected nanoseconds since 1970 as a bigint, 0n to 2n ** 63n - 1n, found ${describeValue(realtimeNanos)}`
        )
      )

/** Bytes that are typed, and the port on which. */
export const checkedTyping = (port: unknown, data: unknown): Effect.Effect<Uint8Array, MachineError> => {
  if (typeof port !== "number" || !Number.isInteger(port) || port < 0 || port > 0xffff_ffff) {
    return Effect.fail(
      refuse("PortUnknown", `sendSerial: expected the number of a serial port, found ${describeValue(port)}`)
    )
  }
  return data instanceof Uint8Array
    ? Effect.succeed(data)
    : Effect.fail(refuse("FrameInvalid", `sendSerial: expected bytes, a Uint8Array, found ${describeValue(data)}`))
}
