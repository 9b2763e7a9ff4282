/**
 * A client of an agent whose events a test chooses.
 *
 * @module
 */
import { Effect } from "effect"
import { Subject } from "rxjs"
import type { AgentPort } from "../agent/AgentPort.ts"
import { makeAgent } from "../agent/makeAgent.ts"
import type { GuestEvent } from "../GuestEvent.ts"
import type { MachineStop } from "../Vmm.ts"

type Body<E> = E extends GuestEvent ? Omit<E, "seq" | "atNanos"> : never

/** An event of a guest, without its place on the timeline. */
export type SaidBody = Body<GuestEvent>

/** Command and token of every request to an agent of {@link toldAgent}. */
export const toldId = 7

/**
 * A client of a restored machine's agent: whenever it runs, the same events come, and a second passes. Every request has the id
 * {@link toldId}.
 */
export const toldAgent = (...said: ReadonlyArray<SaidBody>): ReturnType<typeof makeAgent> => {
  const events = new Subject<GuestEvent>()
  let nowNanos = 0
  const port: AgentPort = {
    tell: () => Effect.void,
    type: () => Effect.void,
    nextToken: () => Effect.succeed(toldId),
    nowNanos: Effect.sync(() => nowNanos),
    nextSeq: () => 1,
    eventsFrom: () => events,
    eventsSoFar: Effect.succeed([]),
    advance: () =>
      Effect.sync((): MachineStop => {
        for (const [seq, body] of said.entries()) events.next({ ...body, seq, atNanos: nowNanos } as GuestEvent)
        nowNanos += 1e9
        return { reason: "event", seq: 0, atNanos: nowNanos }
      })
  }
  return makeAgent(port)
}
