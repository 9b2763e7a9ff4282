/**
 * Where the memory of scripted guests lies. An address is the machine's to say and nobody's to know: what stands above takes whatever
 * number is here.
 *
 * @module
 */

const pageBytes = 4096

/** Guest-physical address of the first byte. */
export const scriptedMemoryAddress = 1 << 24

const pageAt = (page: number): number => scriptedMemoryAddress + page * pageBytes

/** Pages that a scripted guest has touched, whenever it is asked. */
export const scriptedPages: readonly [number, number, number] = [pageAt(512), pageAt(513), pageAt(1024)]
