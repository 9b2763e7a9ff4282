/**
 * The laws of the built-in triggers and their order, and all laws of the algebra together.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import type { GuestEvent } from "@stillpoint/core"
import { Result } from "effect"
import * as fc from "fast-check"
import { onListener } from "../builtin/onListener.ts"
import { onPreExec } from "../builtin/onPreExec.ts"
import { firstOf } from "../combinators/firstOf.ts"
import { precedence } from "../combinators/precedence.ts"
import type { ReplayedTimeline } from "../deciding/replayPolicy.ts"
import type { Policy } from "../Policy.ts"
import { isNotLater } from "./decisions.ts"
import { anyTimeline, realisticTimeline, timelineOf } from "./guestEvents.ts"
import { lawsOf } from "./laws.ts"
import { builtin, policy, policyRegistry, quiesceOptions, quiescedIfItFits } from "./policies.ts"
import { type LawOptions, timing, triggerLaw, type TriggerLaw } from "./TriggerLaw.ts"

const isBefore = (line: ReplayedTimeline, first: GuestEvent["_tag"], second: GuestEvent["_tag"]): boolean => {
  const [a, b] = [first, second].map((kind) => line.events.findIndex(({ _tag }) => _tag === kind))
  return a !== undefined && b !== undefined && a >= 0 && b >= 0 && a < b
}

/** On every timeline that has both, as the agent announces the workload before it executes it, pre-exec wins over the listener. */
export const preExecBeatsListener = (options: LawOptions = {}): TriggerLaw =>
  triggerLaw("pre-exec-beats-listener", policy(), options, ({ decide }) =>
    fc.property(options.timelines ?? realisticTimeline, quiesceOptions, (line, calm) => {
      if (!isBefore(line, "WorkloadPreExec", "ListenerBound")) return
      const bare = decide(precedence([onPreExec(), onListener()]), line)
      assert.equal(Result.getOrThrow(bare).trigger, "onPreExec")
      const turned = decide(precedence([onListener(), onPreExec()]), line)
      assert.equal(Result.getOrThrow(turned).trigger, "onPreExec")
      const options = { ...calm, onDeadline: "capture", agent: "auto", activity: calm.activity ?? [] } as const
      const calmed = decide(precedence([onPreExec(), onListener()].map((one) => quiescedIfItFits(one, options))), line)
      if (Result.isSuccess(calmed)) assert.equal(calmed.success.trigger, "onPreExec")
    })
  )

/** Nothing that is made of pre-exec alone fires before it. */
export const nothingFiresBeforePreExec = (options: LawOptions = {}): TriggerLaw =>
  triggerLaw("no-policy-on-pre-exec-alone-fires-before-it", policy(), options, ({ decide, timelines }) =>
    fc.property(policy({ leaves: fc.constant(onPreExec()), withoutTimeout: true }), timelines, (one, line) => {
      const decision = decide(one, line)
      const first = line.events.find(({ _tag }) => _tag === "WorkloadPreExec")
      if (Result.isSuccess(decision)) {
        assert.ok(
          first !== undefined && decision.success.atNanos >= first.atNanos && decision.success.afterSeq >= first.seq
        )
      }
    })
  )

/**
 * Of events at one instant the first by `seq` decides, and of the triggers that wait for it the leftmost: the instant is the same
 * in any order.
 */
export const sameInstantObeysTieBreak = (options: LawOptions = {}): TriggerLaw =>
  triggerLaw("shuffling-events-of-one-instant-obeys-the-tie-break", policy(), options, ({ decide }) =>
    fc.property(
      fc.array(builtin.filter(isOnSingleEvents), { minLength: 1, maxLength: 4 }),
      anyTimeline(),
      fc.array(fc.nat(), { minLength: 25, maxLength: 25 }),
      (triggers, line, keys) => {
        const order = line.events.map((event, index) => [event, keys[index % keys.length] ?? 0] as const)
        const moments = [...order]
          .sort(([a, i], [b, j]) => a.atNanos - b.atNanos || i - j)
          .map(([{ atNanos, seq: _seq, ...event }]) => [atNanos, event as never] as const)
        const mixed = timelineOf(moments, line.end ?? null)
        for (const compose of [firstOf, precedence]) {
          const all = compose(triggers)
          assert.equal(timing(decide)(all, mixed).fired, timing(decide)(all, line).fired)
          const decision = decide(all, mixed)
          if (Result.isFailure(decision)) continue
          const alone = triggers.map((one) => timing(decide)(one, mixed))
          const earliest = alone.reduce((best, one) => (isNotLater(best, one) ? best : one))
          assert.equal(decision.success.trigger, triggers[alone.indexOf(earliest)]?.name)
        }
      }
    )
  )

const isOnSingleEvents = (one: Policy): boolean => !/^(never|after|onIdle|onDirty)/.test(one.name)

/** Every law of the algebra, over generated policies, and over generated timelines if no others are given. */
export const lawsOfTheAlgebra = (options: LawOptions = {}): ReadonlyArray<TriggerLaw> => [
  ...lawsOf(policy(), { registry: policyRegistry, ...options }),
  preExecBeatsListener(options),
  nothingFiresBeforePreExec(options),
  sameInstantObeysTieBreak(options)
]
