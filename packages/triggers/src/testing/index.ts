/**
 * For authors of triggers: arbitraries, laws, and a DSL for expectations.
 *
 * @module
 */
export { deciderSpec } from "@stillpoint/core/testing"
export * from "./accountIsTrue.ts"
export * from "./builtinLaws.ts"
export * from "./decisions.ts"
export * from "./expressions.ts"
export * from "./guestEvents.ts"
export * from "./honestLaws.ts"
export * from "./laws.ts"
export * from "./liveDecision.ts"
export * from "./policies.ts"
export * from "./policySpec.ts"
export * from "./reactingLaws.ts"
export * from "./reactingMachine.ts"
export * from "./ReactiveGuest.ts"
export * from "./reactiveGuests.ts"
export * from "./stepwise.ts"
export * from "./timelines.ts"
export * from "./timelinesFor.ts"
export * from "./TriggerLaw.ts"
