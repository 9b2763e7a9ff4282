/**
 * Why an image cannot become the requested guest.
 *
 * @module
 */
import { Effect, Schema } from "effect"

/** Neither the image nor the caller names a program to run. */
export class EntryPointMissing extends Schema.TaggedError<EntryPointMissing>()("EntryPointMissing", {
  image: Schema.String
}) {
  override get message(): string {
    return `the image ${this.image} has neither an entry point nor a command: set workload.argv`
  }
}

/** The image is for other machines. */
export class PlatformMismatch extends Schema.TaggedError<PlatformMismatch>()("PlatformMismatch", {
  image: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `the image ${this.image} is for ${this.found}: expected one for ${this.expected}`
  }
}

/** Two disks have one name, or one has a name that the guest's own disks have. */
export class DiskNameTaken extends Schema.TaggedError<DiskNameTaken>()("DiskNameTaken", { name: Schema.String }) {
  override get message(): string {
    return `two disks are called ${JSON.stringify(this.name)}: give each disk a different name`
  }
}

/** A guest of a booted kit has more disks than the kit has slots. */
export class DisksTooMany extends Schema.TaggedError<DisksTooMany>()("DisksTooMany", {
  expected: Schema.Natural,
  found: Schema.Natural
}) {
  override get message(): string {
    return `expected at most ${this.expected} disks, including the image's, found ${this.found}: give the booted kit more diskSlots`
  }
}

/** The stop signal is not a signal of Linux. */
export class StopSignalUnknown extends Schema.TaggedError<StopSignalUnknown>()("StopSignalUnknown", {
  found: Schema.String
}) {
  override get message(): string {
    return `expected a stop signal of Linux, such as SIGTERM, 15 or SIGRTMIN+3, found ${JSON.stringify(this.found)}`
  }
}

/** The options of a guest are invalid; every problem with its path. */
export class GuestInvalid extends Schema.TaggedError<GuestInvalid>()("GuestInvalid", { problems: Schema.String }) {
  override get message(): string {
    return `expected a guest of an image, found: ${this.problems}`
  }
}

/** The options of a booted kit are invalid; every problem with its path. */
export class BootedKitInvalid extends Schema.TaggedError<BootedKitInvalid>()("BootedKitInvalid", {
  problems: Schema.String
}) {
  override get message(): string {
    return `expected options of a booted kit, found: ${this.problems}`
  }
}

/** Why an image cannot become a guest. */
export const ImageGuestReason = Schema.Union([
  EntryPointMissing,
  PlatformMismatch,
  DiskNameTaken,
  DisksTooMany,
  StopSignalUnknown,
  GuestInvalid
])
export type ImageGuestReason = typeof ImageGuestReason.Type

/** An image cannot become a guest with the given options; `reason` says why, `others` lists further problems. */
export class ImageGuestError extends Schema.TaggedError<ImageGuestError>()("ImageGuestError", {
  reason: ImageGuestReason,
  others: Schema.Array(ImageGuestReason).pipe(Schema.withConstructorDefault(Effect.succeed([])))
}) {
  override get message(): string {
    return [this.reason, ...this.others].map(({ message }) => message).join("\n")
  }
}
