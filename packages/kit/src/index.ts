/**
 * The guest kit: kernel, busybox and agent, and initial RAM file systems made of them.
 *
 * @module
 */
export { Archive, type ArchiveConfig, debianTrixie } from "./archive/Archive.ts"
export { type Clearsigned, splitClearsigned } from "./archive/clearsigned.ts"
export { compareDebianVersions } from "./archive/debianVersion.ts"
export type { OnProgress } from "./archive/download.ts"
export type { ArchivePackage } from "./archive/PackageIndex.ts"
export type { Described } from "./archive/ReleaseIndex.ts"
export { SignatureVerifier } from "./archive/SignatureVerifier.ts"
export { GuestKit, type GuestToFind, type KeptGuest } from "./GuestKit.ts"
export { defaultDirectory, defaultGuestKitConfig, type GuestKitConfig } from "./GuestKitConfig.ts"
export {
  imageDiskName,
  imageGuest,
  type ImageGuest,
  type ImageGuestInput,
  imageModules,
  scratchDiskName
} from "./image/ImageGuest.ts"
export {
  BootedKitInvalid,
  DiskNameTaken,
  DisksTooMany,
  EntryPointMissing,
  GuestInvalid,
  ImageGuestError,
  type ImageGuestReason,
  PlatformMismatch,
  StopSignalUnknown
} from "./image/ImageGuestError.ts"
export {
  BootedKit,
  type BootedKitFailure,
  type BootedKitOptions,
  type CreatedGuest,
  type CreateFailure,
  type CreateInput
} from "./booted/BootedKit.ts"
export { BootedKitNotReady } from "./booted/bootedMachine.ts"
export { type CpioEntry, readCpio, writeCpio } from "./initramfs/cpio.ts"
export { GuestConfig, type GuestConfigInput, GuestFile, Workload } from "./initramfs/GuestConfig.ts"
export { buildInitramfs, type GuestPrograms, type KernelModule } from "./initramfs/Initramfs.ts"
export {
  ConfigInvalid,
  GuestPathRefused,
  HostFileUnreadable,
  InitramfsError,
  type InitramfsReason,
  TooLarge
} from "./initramfs/InitramfsError.ts"
export {
  ArchiveUnreachable,
  DigestMismatch,
  FileUnusable,
  FormatInvalid,
  KitConfigInvalid,
  KitError,
  type KitReason,
  LockedPackageGone,
  PackageUnknown,
  PrerequisiteMissing,
  SignatureInvalid
} from "./KitError.ts"
export type { KitFiles, Substitute } from "./KitFiles.ts"
export { KitLock, LockedPackage } from "./KitLock.ts"
export type { ModuleInfo } from "./modules/moduleInfo.ts"
