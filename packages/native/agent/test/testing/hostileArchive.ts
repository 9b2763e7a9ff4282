/**
 * Archives that no good program writes.
 *
 * @module
 */

/** An entry: what its header says, whether or not it is so. */
export interface Member {
  readonly path: string
  /** A letter of the format's; `0`, a file, if absent. */
  readonly type?: string | undefined
  readonly target?: string | undefined
  readonly bytes?: Uint8Array | undefined
  readonly mode?: number | undefined
  /** What its header says that it is long. */
  readonly sizeBytes?: number | undefined
}

const blockBytes = 512

const header = ({ bytes, mode, path, sizeBytes, target, type }: Member, folder: string): Buffer => {
  const block = Buffer.alloc(blockBytes)
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, "0")}\0`
  block.write(path.slice(0, 100), 0, "latin1")
  block.write(octal(mode ?? 0o644, 7), 100)
  block.write(octal(process.getuid?.() ?? 0, 7), 108)
  block.write(octal(process.getgid?.() ?? 0, 7), 116)
  block.write(octal(sizeBytes ?? bytes?.length ?? 0, 11), 124)
  block.write(octal(0, 11), 136)
  block.write("        ", 148)
  block.write(type ?? "0", 156)
  block.write((target ?? "").replace("OUTSIDE", `${folder}/outside`).slice(0, 100), 157, "latin1")
  block.write("ustar", 257, "latin1")
  block.write("00", 263, "latin1")
  // Of devices: the first is nobody's, and anybody may make it.
  block.write(octal(1, 7), 329)
  block.write(octal(3, 7), 337)
  block.write(
    octal(
      block.reduce((sum, byte) => sum + byte, 0),
      6
    ),
    148
  )
  block.write(" ", 155)
  return block
}

/** The archive of some members, with its end; `OUTSIDE` in targets stands for a folder beside the one that it becomes. */
export const archiveOf = (members: ReadonlyArray<Member>, folder: string): Buffer =>
  Buffer.concat([
    ...members.flatMap((member) => {
      const content = member.bytes ?? new Uint8Array()
      return [header(member, folder), content, Buffer.alloc((blockBytes - (content.length % blockBytes)) % blockBytes)]
    }),
    Buffer.alloc(2 * blockBytes)
  ])
