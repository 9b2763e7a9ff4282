import { Malformed } from "../Malformed.ts"
/**
 * A kernel module reduced to the parts that the kernel reads when it loads it.
 *
 * ```text
 * kept     sections that are loaded, their relocations, the symbols that these name, and the global ones
 * left out local labels (four fifths of a RISC-V module), types for BPF, comments, the signature
 * ```
 *
 * The signature is of no more use: where the module comes from was checked before, and a guest would spend more instructions on it
 * than on all of its boot. The kernel says once that such a module has none.
 *
 * Source: the ELF specification; Linux, kernel/module/main.c.
 *
 * @module
 */

const headerBytes = 64
const sectionBytes = 64
const symbolBytes = 24
const relocationBytes = 24

const types = { symbols: 2, relocations: 4, noContent: 8 } as const
const loaded = 2n
/** No section of a module is aligned to more. */
const alignmentMax = 1 << 16
/** From here on a symbol's section number means something else. */
const firstReserved = 0xff00

interface Section {
  readonly header: Buffer
  readonly content: Buffer
  readonly type: number
  readonly link: number
  readonly info: number
  readonly isLoaded: boolean
}

const refuse = (what: string) => new Malformed({ message: `expected a relocatable 64-bit ELF file, found ${what}` })

const readSections = (file: Buffer): ReadonlyArray<Section> => {
  if (
    file.length < headerBytes ||
    file.toString("latin1", 0, 6) !== "\u007fELF\u0002\u0001" ||
    file.readUInt16LE(0x10) !== 1
  ) {
    throw refuse("something else")
  }
  const [at, size, count] = [Number(file.readBigUInt64LE(0x28)), file.readUInt16LE(0x3a), file.readUInt16LE(0x3c)]
  if (size !== sectionBytes || at + size * count > file.length) throw refuse("one whose sections lie outside of it")
  return Array.from({ length: count }, (_, index) => {
    const header = file.subarray(at + index * size, at + (index + 1) * size)
    const type = header.readUInt32LE(0x04)
    const [offset, length] = [Number(header.readBigUInt64LE(0x18)), Number(header.readBigUInt64LE(0x20))]
    if (type !== types.noContent && offset + length > file.length) throw refuse("one whose sections lie outside of it")
    return {
      header,
      content: type === types.noContent ? Buffer.alloc(0) : file.subarray(offset, offset + length),
      type,
      link: header.readUInt32LE(0x28),
      info: header.readUInt32LE(0x2c),
      isLoaded: (header.readBigUInt64LE(0x08) & loaded) !== 0n
    }
  })
}

/** The module, reduced; the same module always gives the same bytes. Throws {@link Malformed} with the problem. */
export const leanModule = (file: Buffer): Buffer => {
  const sections = readSections(file)
  const names = file.readUInt16LE(0x3e)
  const symbols = sections.findIndex(({ type }) => type === types.symbols)
  const symbolSection = sections[symbols]
  const texts = symbolSection?.link ?? -1
  if (symbolSection === undefined || sections[texts] === undefined) throw refuse("one without symbols")
  const isKept = sections.map(
    ({ info, isLoaded, type }, index) =>
      index === 0 ||
      [symbols, texts, names].includes(index) ||
      isLoaded ||
      (type === types.relocations && sections[info]?.isLoaded === true)
  )
  let next = 0
  const numbers = isKept.map((kept) => (kept ? next++ : 0))

  const count = Math.floor(symbolSection.content.length / symbolBytes)
  const symbolAt = (index: number) => symbolSection.content.subarray(index * symbolBytes, (index + 1) * symbolBytes)
  const isNamed = new Uint8Array(count)
  if (count > 0) isNamed[0] = 1
  // The global ones come behind the local ones.
  isNamed.fill(1, Math.min(symbolSection.info, count))
  for (const [index, { content, type }] of sections.entries()) {
    if (type !== types.relocations || isKept[index] !== true) continue
    for (let at = 0; at + relocationBytes <= content.length; at += relocationBytes) {
      const symbol = content.readUInt32LE(at + 12)
      if (symbol >= count) throw refuse("a relocation by a symbol that is not there")
      isNamed[symbol] = 1
    }
  }

  const symbolNumbers = new Uint32Array(count)
  const keptSymbols: Array<Buffer> = []
  const keptTexts: Array<Buffer> = [Buffer.from([0])]
  let textBytes = 1
  let locals = 0
  const oldTexts = sections[texts]?.content ?? Buffer.alloc(0)
  for (let index = 0; index < count; index++) {
    if (isNamed[index] !== 1) continue
    const symbol = Buffer.from(symbolAt(index))
    const [name, section] = [symbol.readUInt32LE(0), symbol.readUInt16LE(6)]
    if (section !== 0 && section < firstReserved) {
      if (isKept[section] !== true) {
        // A global symbol of a section that is left out is unused.
        if (index >= symbolSection.info) continue
        throw refuse("a loaded section that needs one which is not loaded")
      }
      symbol.writeUInt16LE(numbers[section] ?? 0, 6)
    }
    const end = oldTexts.indexOf(0, name)
    if (end < 0) throw refuse("a symbol whose name has no end")
    const text = oldTexts.subarray(name, end + 1)
    symbol.writeUInt32LE(text.length > 1 ? textBytes : 0, 0)
    if (text.length > 1) {
      keptTexts.push(text)
      textBytes += text.length
    }
    symbolNumbers[index] = keptSymbols.length
    if (index < symbolSection.info) locals++
    keptSymbols.push(symbol)
  }

  const contentOf = ({ content, type }: Section, index: number): Buffer => {
    if (index === symbols) return Buffer.concat(keptSymbols)
    if (index === texts) return Buffer.concat(keptTexts)
    if (type !== types.relocations) return content
    const relocations = Buffer.from(content)
    for (let at = 0; at + relocationBytes <= content.length; at += relocationBytes) {
      relocations.writeUInt32LE(symbolNumbers[content.readUInt32LE(at + 12)] ?? 0, at + 12)
    }
    return relocations
  }
  const head = Buffer.from(file.subarray(0, headerBytes))
  const pieces: Array<Buffer> = [head]
  const headers: Array<Buffer> = []
  let at = headerBytes
  for (const [index, section] of sections.entries()) {
    if (isKept[index] !== true) continue
    const header = Buffer.from(section.header)
    if (index > 0) {
      const content = contentOf(section, index)
      const alignment = Math.max(1, Number(header.readBigUInt64LE(0x30)))
      if (alignment > alignmentMax) throw refuse(`a section aligned to ${alignment} bytes`)
      const padding = (alignment - (at % alignment)) % alignment
      pieces.push(Buffer.alloc(padding), content)
      at += padding
      header.writeBigUInt64LE(BigInt(at), 0x18)
      if (section.type !== types.noContent) header.writeBigUInt64LE(BigInt(content.length), 0x20)
      at += content.length
      if (at > file.length + alignmentMax * sections.length) throw refuse("sections that lie over each other")
      header.writeUInt32LE(numbers[section.link] ?? 0, 0x28)
      if (index === symbols) header.writeUInt32LE(locals, 0x2c)
      if (section.type === types.relocations) header.writeUInt32LE(numbers[section.info] ?? 0, 0x2c)
    }
    headers.push(header)
  }
  const padding = (8 - (at % 8)) % 8
  head.writeBigUInt64LE(BigInt(at + padding), 0x28)
  head.writeUInt16LE(headers.length, 0x3c)
  head.writeUInt16LE(numbers[names] ?? 0, 0x3e)
  return Buffer.concat([...pieces, Buffer.alloc(padding), ...headers])
}
