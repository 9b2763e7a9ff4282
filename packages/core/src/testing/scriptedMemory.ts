/**
 * The addresses of scripted guests' memory. Only the machine defines addresses; code above it must accept any number here.
 *
 * @module
 */

const pageBytes = 4096

/** Guest-physical address of the first byte. */
export const scriptedMemoryAddress = 1 << 24

const pageAt = (page: number): number => scriptedMemoryAddress + page * pageBytes

/** The touched pages of a scripted guest, always the same. */
export const scriptedPages: readonly [number, number, number] = [pageAt(512), pageAt(513), pageAt(1024)]
