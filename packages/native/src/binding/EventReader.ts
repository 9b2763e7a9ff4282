/**
 * A read position in events as the core in Rust encodes them.
 *
 * @module
 */
/** A read position in encoded events. */
export class EventReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  u8(): number {
    return this.#bytes[this.#at++] ?? 0
  }

  u16(): number {
    const value = this.#bytes.readUInt16LE(this.#at)
    this.#at += 2
    return value
  }

  u32(): number {
    const value = this.#bytes.readUInt32LE(this.#at)
    this.#at += 4
    return value
  }

  i32(): number {
    const value = this.#bytes.readInt32LE(this.#at)
    this.#at += 4
    return value
  }

  /** Guest times and counts stay below 2^53: the machine's horizon. */
  natural(): number {
    const low = this.#bytes.readUInt32LE(this.#at)
    const high = this.#bytes.readUInt32LE(this.#at + 4)
    this.#at += 8
    return high * 0x1_0000_0000 + low
  }

  text(): string {
    const length = this.u32()
    const start = this.#at
    this.#at += length
    return this.#bytes.toString("utf8", start, this.#at)
  }

  bytes(): Uint8Array {
    const length = this.u32()
    const start = this.#at
    this.#at += length
    // A copy: a view would keep the whole batch alive for as long as the event lives.
    return new Uint8Array(this.#bytes.subarray(start, this.#at))
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
