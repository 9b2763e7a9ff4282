/**
 * Values that are given to a guest and not recorded.
 *
 * @module
 */
import { Redacted } from "effect"
import type { Secret } from "../Secret.ts"

/** The value for the guest. */
export const revealed = <A>(value: Secret<A>): A => (Redacted.isRedacted(value) ? Redacted.value(value) : value)

/** `KEY=VALUE` of an environment, and whether a value of it is a secret. */
export const revealedEnvironment = (env: Readonly<Record<string, Secret<string>>>) => {
  const entries = Object.entries(env)
  return {
    env: entries.map(([key, value]) => `${key}=${revealed(value)}`),
    isSecret: entries.some(([, value]) => Redacted.isRedacted(value))
  }
}
