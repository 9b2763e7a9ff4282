/**
 * Why an initial RAM file system could not be built.
 *
 * @module
 */
import { Schema } from "effect"

/** The configuration is invalid; the message lists every problem with its path. */
export class ConfigInvalid extends Schema.TaggedError<ConfigInvalid>()("ConfigInvalid", { problems: Schema.String }) {
  override get message(): string {
    return `expected a guest configuration, found: ${this.problems}`
  }
}

/** A path in the guest cannot be used for the given file. */
export class GuestPathRefused extends Schema.TaggedError<GuestPathRefused>()("GuestPathRefused", {
  path: Schema.String,
  why: Schema.String
}) {
  override get message(): string {
    return `the guest path ${JSON.stringify(this.path)} was refused: ${this.why}`
  }
}

/** Something is too large for the guest. */
export class TooLarge extends Schema.TaggedError<TooLarge>()("TooLarge", {
  what: Schema.String,
  limitBytes: Schema.Int,
  foundBytes: Schema.Int
}) {
  override get message(): string {
    return `${this.what}: expected at most ${this.limitBytes} bytes, found ${this.foundBytes}`
  }
}

/** A host file that should be put into the guest cannot be read. */
export class HostFileUnreadable extends Schema.TaggedError<HostFileUnreadable>()("HostFileUnreadable", {
  path: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.path} cannot be read: ${this.detail}`
  }
}

/** What an initramfs error may be about. */
export const InitramfsReason = Schema.Union([ConfigInvalid, GuestPathRefused, TooLarge, HostFileUnreadable])
export type InitramfsReason = typeof InitramfsReason.Type

/** The initial RAM file system could not be built; `reason` says why. */
export class InitramfsError extends Schema.TaggedError<InitramfsError>()("InitramfsError", {
  reason: InitramfsReason
}) {
  override get message(): string {
    return this.reason.message
  }
}
