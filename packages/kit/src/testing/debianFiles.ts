/**
 * Builds small Debian packages and indexes, byte by byte, for tests.
 *
 * @module
 */
import { createHash } from "node:crypto"
import { gzipSync } from "node:zlib"

/** Lower-case hexadecimal. */
export const sha256 = (bytes: Uint8Array | string): string => createHash("sha256").update(bytes).digest("hex")

const tarHeader = (path: string, size: number, type: string): Buffer => {
  const header = Buffer.alloc(512)
  header.write(path, 0, 100)
  header.write("0000644\0", 100)
  header.write("0000000\0", 108)
  header.write("0000000\0", 116)
  header.write(`${size.toString(8).padStart(11, "0")}\0`, 124)
  header.write("00000000000\0", 136)
  header.write("        ", 148)
  header.write(type, 156)
  header.write("ustar  \0", 257)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
  return header
}

const tarEntry = (path: string, content: Uint8Array, type: string): ReadonlyArray<Uint8Array> => [
  tarHeader(path, content.length, type),
  content,
  Buffer.alloc((512 - (content.length % 512)) % 512)
]

/** A tar archive as `dpkg-deb` writes it: paths start with `./`, long ones are GNU long names, folders come first. */
export const tarOf = (files: ReadonlyMap<string, Uint8Array>): Buffer => {
  const parts: Array<Uint8Array> = [...tarEntry("./", Buffer.alloc(0), "5")]
  for (const [path, content] of files) {
    const full = `./${path}`
    if (full.length > 100) parts.push(...tarEntry("././@LongLink", Buffer.from(`${full}\0`), "L"))
    parts.push(...tarEntry(full.slice(0, 100), content, "0"))
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)])
}

/** An `ar` archive. */
export const arOf = (members: ReadonlyArray<readonly [name: string, content: Uint8Array]>): Buffer => {
  const parts: Array<Uint8Array> = [Buffer.from("!<arch>\n")]
  for (const [name, content] of members) {
    const size = String(content.length)
    parts.push(Buffer.from(`${name.padEnd(16)}${"0".padEnd(12)}${"0".padEnd(6)}${"0".padEnd(6)}${"100644".padEnd(8)}`))
    parts.push(Buffer.from(`${size.padEnd(10)}\`\n`), content, Buffer.alloc(content.length % 2, "\n"))
  }
  return Buffer.concat(parts)
}

/** A package whose data is compressed by `compress`, under the corresponding member name. */
export const debOf = (
  files: ReadonlyMap<string, Uint8Array>,
  compress: (tar: Buffer) => Buffer = (tar) => gzipSync(tar),
  member = "data.tar.gz"
): Buffer =>
  arOf([
    ["debian-binary", Buffer.from("2.0\n")],
    ["control.tar.gz", gzipSync(tarOf(new Map()))],
    [member, compress(tarOf(files))]
  ])

/** One stanza of a `Packages` file. */
export const stanzaOf = (name: string, version: string, filename: string, deb: Uint8Array, depends = ""): string =>
  [
    `Package: ${name}`,
    `Version: ${version}`,
    "Architecture: riscv64",
    ...(depends === "" ? [] : [`Depends: ${depends}`]),
    `Filename: ${filename}`,
    `Size: ${deb.length}`,
    `SHA256: ${sha256(deb)}`,
    "Description: for a test",
    " continued",
    ""
  ].join("\n")

/** Wraps `text` as a clear-signed message; `sign` gives the signature's lines. */
export const clearsign = (text: string, sign: (text: string) => string): string => {
  const escaped = text.split("\n").map((line) => (line.startsWith("-") ? `- ${line}` : line))
  return [
    "-----BEGIN PGP SIGNED MESSAGE-----",
    "Hash: SHA512",
    "",
    ...escaped,
    "-----BEGIN PGP SIGNATURE-----",
    "",
    sign(text),
    "-----END PGP SIGNATURE-----",
    ""
  ].join("\n")
}

/** A kernel module with only its information, and one unused symbol. */
export const moduleOf = (name: string, depends: ReadonlyArray<string>, isLean = false): Buffer => {
  const info = Buffer.from(`name=${name}\0depends=${depends.join(",")}\0`)
  const names = Buffer.from("\0.modinfo\0.names\0.symbols\0")
  const symbols = Buffer.alloc(isLean ? 24 : 48)
  if (!isLean) symbols.writeUInt32LE(12, 24)
  // Type, flags, link, info; then the section's name and content.
  const sections = [
    [1, 2, 0, 0, 1, 1, info],
    [3, 0, 0, 0, 10, 1, isLean ? Buffer.from("\0") : names],
    [2, 0, 2, symbols.length / 24, 17, 1, symbols],
    [3, 0, 0, 0, 10, 1, names]
  ] as const
  const head = Buffer.alloc(64)
  head.write("\u007fELF\u0002\u0001\u0001", "latin1")
  const pieces: Array<Buffer> = [head]
  const headers = [Buffer.alloc(64)]
  let at = head.length
  for (const [type, flags, link, more, nameAt, alignment, content] of sections) {
    const header = Buffer.alloc(64)
    for (const [offset, value] of [
      [0x00, nameAt],
      [0x04, type],
      [0x08, flags],
      [0x18, at],
      [0x20, content.length],
      [0x28, link],
      [0x2c, more],
      [0x30, alignment]
    ] as const)
      header.writeUInt32LE(value, offset)
    headers.push(header)
    pieces.push(content)
    at += content.length
  }
  const padding = (8 - (at % 8)) % 8
  head.writeUInt16LE(1, 0x10)
  head.writeUInt32LE(at + padding, 0x28)
  for (const [offset, value] of [
    [0x3a, 64],
    [0x3c, headers.length],
    [0x3e, 4]
  ] as const)
    head.writeUInt16LE(value, offset)
  return Buffer.concat([...pieces, Buffer.alloc(padding), ...headers])
}
