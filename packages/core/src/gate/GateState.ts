/**
 * The states that a restored machine passes before it is handed out.
 *
 * ```text
 *            verified          identity sent        acknowledged         (thawed)
 *  Loaded ─────────────▶ Verified ──────────▶ IdentityApplied ──────▶ Acknowledged ──────▶ Ready
 *     └──────────────────────┴───────────────────────┴──────────────────────┴──▶ Destroyed
 * ```
 *
 * @module
 */

/** The state of a restored machine in its gate. */
export type GateState =
  /** Manifest read. */
  | { readonly _tag: "Loaded" }
  /** Every file checked, machine made; its guest has executed nothing. */
  | { readonly _tag: "Verified" }
  /** The new identity was handed to the agent under a token. */
  | { readonly _tag: "IdentityApplied"; readonly token: number }
  /** The agent has acknowledged that very token. */
  | { readonly _tag: "Acknowledged"; readonly token: number }
  /** May be handed over. */
  | { readonly _tag: "Ready" }
  /** Closed; it will not be handed out. */
  | { readonly _tag: "Destroyed"; readonly why: string }

/** The inputs of a gate. */
export type GateInput =
  | { readonly _tag: "Verify" }
  | { readonly _tag: "SendIdentity"; readonly token: number }
  | { readonly _tag: "Acknowledge"; readonly token: number }
  | { readonly _tag: "HandOver" }
  | { readonly _tag: "Destroy"; readonly why: string }

/** The state in which every gate begins. */
export const gateLoaded: GateState = { _tag: "Loaded" }

const destroyed = (why: string): GateState => ({ _tag: "Destroyed", why })

/**
 * The next state. Total: an unexpected input destroys the machine, and no input leaves `Ready` or `Destroyed`.
 */
export const stepGate = (state: GateState, input: GateInput): GateState => {
  if (state._tag === "Ready" || state._tag === "Destroyed") return state
  if (input._tag === "Destroy") return destroyed(input.why)
  switch (state._tag) {
    case "Loaded":
      return input._tag === "Verify" ? { _tag: "Verified" } : destroyed(`${input._tag} before Verify`)
    case "Verified":
      return input._tag === "SendIdentity"
        ? { _tag: "IdentityApplied", token: input.token }
        : destroyed(`${input._tag} before SendIdentity`)
    case "IdentityApplied":
      if (input._tag !== "Acknowledge") return destroyed(`${input._tag} before Acknowledge`)
      return input.token === state.token
        ? { _tag: "Acknowledged", token: state.token }
        : destroyed(`acknowledged token ${input.token}, not ${state.token}`)
    case "Acknowledged":
      return input._tag === "HandOver" ? { _tag: "Ready" } : destroyed(`${input._tag} before HandOver`)
  }
}
