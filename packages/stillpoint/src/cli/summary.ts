/**
 * A snapshot as verbs print it in JSON.
 *
 * @module
 */
import type { StoredSnapshot } from "@stillpoint/core"

export const summary = ({
  children,
  digest,
  manifest,
  names,
  namedAtMillis,
  parent,
  problem,
  storedBytes
}: StoredSnapshot) => ({
  snapshot: digest,
  names,
  namedAt: namedAtMillis === null ? null : new Date(namedAtMillis).toISOString(),
  engine: manifest?.engine ?? null,
  engineChoice: manifest?.engineChoice ?? null,
  memoryMib: manifest?.memoryMib ?? null,
  guestNanos: manifest?.capture.atNanos ?? null,
  storedBytes,
  parent,
  children,
  encryptionKeyId: manifest?.encryption?.keyId ?? null,
  problem
})
