/**
 * Why an image cannot become a guest as it was asked for.
 *
 * @module
 */
import { Effect, Schema } from "effect"

/** Neither the image nor the caller says what is to be run. */
export class EntryPointMissing extends Schema.TaggedError<EntryPointMissing>()("EntryPointMissing", {
  image: Schema.String
}) {
  override get message(): string {
    return `the image ${this.image} has neither an entry point nor a command: say workload.argv`
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
    return `two disks are called ${JSON.stringify(this.name)}: expected a name for each that no other has`
  }
}

/** A guest of a booted kit has as many disks as that has slots. */
export class DisksTooMany extends Schema.TaggedError<DisksTooMany>()("DisksTooMany", {
  expected: Schema.Natural,
  found: Schema.Natural
}) {
  override get message(): string {
    return `expected ${this.expected} disks at most, the image's included, found ${this.found}: say more diskSlots of the booted kit`
  }
}

/** The signal that stops it is none. */
export class StopSignalUnknown extends Schema.TaggedError<StopSignalUnknown>()("StopSignalUnknown", {
  found: Schema.String
}) {
  override get message(): string {
    return `expected a stop signal of Linux, as SIGTERM, 15 or SIGRTMIN+3, found ${JSON.stringify(this.found)}`
  }
}

/** What was asked for is not what it must be; every problem with its place. */
export class GuestInvalid extends Schema.TaggedError<GuestInvalid>()("GuestInvalid", { problems: Schema.String }) {
  override get message(): string {
    return `expected a guest of an image, found: ${this.problems}`
  }
}

/** A booted kit is not asked for as it must be; every problem with its place. */
export class BootedKitInvalid extends Schema.TaggedError<BootedKitInvalid>()("BootedKitInvalid", {
  problems: Schema.String
}) {
  override get message(): string {
    return `expected options of a booted kit, found: ${this.problems}`
  }
}

/** What can be wrong with a guest of an image before anything is booted. */
export const ImageGuestReason = Schema.Union([
  EntryPointMissing,
  PlatformMismatch,
  DiskNameTaken,
  DisksTooMany,
  StopSignalUnknown,
  GuestInvalid
])
export type ImageGuestReason = typeof ImageGuestReason.Type

/** An image cannot become a guest as it was asked for; `reason` says why, `others` what is wrong besides. */
export class ImageGuestError extends Schema.TaggedError<ImageGuestError>()("ImageGuestError", {
  reason: ImageGuestReason,
  others: Schema.Array(ImageGuestReason).pipe(Schema.withConstructorDefault(Effect.succeed([])))
}) {
  override get message(): string {
    return [this.reason, ...this.others].map(({ message }) => message).join("\n")
  }
}
