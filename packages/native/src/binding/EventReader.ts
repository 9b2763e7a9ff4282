/**
 * A read position in events as the core in Rust encodes them.
 *
 * @module
 */
/** Bytes up to which a text is put together here: a call of the host's decoder takes longer than that. */
const shortBytes = 12

/** Bytes that are a smaller part of their batch than one in so many are copied. */
const copiedParts = 4

/** A read position in encoded events. */
export class EventReader {
  readonly #bytes: Buffer
  readonly #view: DataView
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  u8(): number {
    return this.#bytes[this.#at++] ?? 0
  }

  u16(): number {
    const value = this.#view.getUint16(this.#at, true)
    this.#at += 2
    return value
  }

  u32(): number {
    const value = this.#view.getUint32(this.#at, true)
    this.#at += 4
    return value
  }

  i32(): number {
    const value = this.#view.getInt32(this.#at, true)
    this.#at += 4
    return value
  }

  /** Guest times and counts stay below 2^53: the machine's horizon. */
  natural(): number {
    const low = this.#view.getUint32(this.#at, true)
    const high = this.#view.getUint32(this.#at + 4, true)
    this.#at += 8
    return high * 0x1_0000_0000 + low
  }

  text(): string {
    const length = this.u32()
    const start = this.#at
    this.#at += length
    if (length <= shortBytes) {
      let text = ""
      for (let at = start; at < this.#at; at++) {
        const byte = this.#bytes[at] ?? 0
        if (byte >= 0x80) return this.#bytes.toString("utf8", start, this.#at)
        text += String.fromCharCode(byte)
      }
      return text
    }
    return this.#bytes.toString("utf8", start, this.#at)
  }

  bytes(): Uint8Array {
    const length = this.u32()
    const start = this.#at
    this.#at += length
    const { buffer, byteLength, byteOffset } = this.#bytes
    // A view keeps the whole batch alive for as long as the event lives: a copy, unless these bytes are much of it.
    return length * copiedParts < byteLength
      ? new Uint8Array(this.#bytes.subarray(start, this.#at))
      : new Uint8Array(buffer, byteOffset + start, length)
  }

  texts(): ReadonlyArray<string> {
    const count = this.u32()
    const items: Array<string> = []
    for (let index = 0; index < count; index++) items.push(this.text())
    return items
  }

  /** The core lets in only JSON that every reader reads the same. */
  json() {
    return JSON.parse(this.text())
  }

  status(): { readonly code: number | null; readonly signal: number | null } {
    const isSignal = this.u8() === 1
    const value = this.i32()
    return isSignal ? { code: null, signal: value } : { code: value, signal: null }
  }
}
