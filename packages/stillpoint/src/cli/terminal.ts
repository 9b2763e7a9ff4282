/**
 * The terminal of the wizard, which says when its user cancelled it.
 *
 * @module
 */
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import { Effect, Layer, Terminal } from "effect"

const { stdin } = process

/** Keys that end a prompt: Ctrl-C, Ctrl-D and Esc. */
const isCancelling = ({ key }: Terminal.UserInput): boolean =>
  key.name === "escape" || (key.ctrl && (key.name === "c" || key.name === "d"))

/**
 * A terminal that calls `cancelled` when a prompt is ended by such a key, or by the end of its input. A prompt reads single keys, so
 * Ctrl-C is one of them and no signal.
 */
export const terminalWith = (cancelled: () => void): Layer.Layer<Terminal.Terminal> =>
  Layer.effect(
    Terminal.Terminal,
    Effect.map(
      NodeTerminal.make((input) => {
        const isCancelled = isCancelling(input)
        if (isCancelled) cancelled()
        return isCancelled
      }),
      (terminal) => {
        const watched = Effect.acquireRelease(
          Effect.sync(() => (stdin.readableEnded ? cancelled() : void stdin.once("end", cancelled))),
          () => Effect.sync(() => void stdin.off("end", cancelled))
        )
        return Terminal.make({ ...terminal, readInput: Effect.andThen(watched, terminal.readInput) })
      }
    )
  )
