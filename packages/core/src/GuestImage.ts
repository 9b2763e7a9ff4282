/**
 * An image as a guest runs it: one read-only file system in a file, and how the image says that it is run.
 *
 * `Images` of `@stillpoint/images` makes them; what boots guests takes them.
 *
 * @module
 */

/** The image's configuration for execution. Absent values are empty. */
export interface ImageExecution {
  /** `name`, `uid`, `name:group`, …; names are of the image's own files. */
  readonly user: string
  /** `80/tcp`, … */
  readonly exposedPorts: ReadonlyArray<string>
  /** `NAME=VALUE`. */
  readonly env: ReadonlyArray<string>
  /** The program. */
  readonly entrypoint: ReadonlyArray<string>
  /** Its arguments; without an entry point, the program and its arguments. */
  readonly cmd: ReadonlyArray<string>
  /** Folders whose content is to outlive a machine. */
  readonly volumes: ReadonlyArray<string>
  /** The working directory. */
  readonly workingDir: string
  readonly labels: Readonly<Record<string, string>>
  /** The signal that asks the program to end: `SIGTERM`, `15`, … */
  readonly stopSignal: string
}

/** An image as a guest runs it. */
export interface GuestImage {
  /** The file: an EROFS file system, uncompressed, the same bytes wherever it is built. */
  readonly file: string
  /** BLAKE3 of the file, 64 hexadecimal digits. */
  readonly digest: string
  /** Length of the file. */
  readonly sizeBytes: number
  /** `sha256:…` of the image's manifest, or of its configuration if it has no manifest. */
  readonly imageDigest: string
  /** `linux/riscv64`. */
  readonly platform: string
  readonly config: ImageExecution
  /** Digests of the unpacked layers, lowest first. */
  readonly layers: ReadonlyArray<string>
}
