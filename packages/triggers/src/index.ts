/**
 * When to capture: an algebra of triggers with laws.
 *
 * @module
 */
export * from "./builtin/afterGuestTime.ts"
export * from "./builtin/atHeartbeat.ts"
export * from "./builtin/never.ts"
export { type ConnectionFilter, onConnection } from "./builtin/onConnection.ts"
export * from "./builtin/onCustom.ts"
export * from "./builtin/onDirtyRateBelow.ts"
export { onEvent } from "./builtin/onEvent.ts"
export * from "./builtin/onIdle.ts"
export * from "./builtin/onListener.ts"
export * from "./builtin/onParked.ts"
export * from "./builtin/onPreExec.ts"
export * from "./builtin/onRequestServed.ts"
export { onSerialMatch, type SerialMatchOptions } from "./builtin/onSerialMatch.ts"
export { onSerialText } from "./builtin/onSerialText.ts"
export {
  Activity,
  busyForLongerThan,
  connectionsOpen,
  customHappens,
  defaultActivity,
  dirtyRateAbove,
  eventHappens,
  ioInFlight,
  trafficAbove
} from "./combinators/activity.ts"
export * from "./combinators/allOf.ts"
export * from "./combinators/debounce.ts"
export * from "./combinators/filter.ts"
export { firstOf } from "./combinators/firstOf.ts"
export * from "./combinators/mapCause.ts"
export * from "./combinators/named.ts"
export { orElseAfter } from "./combinators/orElseAfter.ts"
export * from "./combinators/precedence.ts"
export * from "./combinators/quiesce.ts"
export * from "./combinators/repeat.ts"
export * from "./combinators/andThen.ts"
export * from "./combinators/atLatest.ts"
export * from "./combinators/within.ts"
export { parsePolicy } from "./expression/parsePolicy.ts"
export { pointedAt, PolicySyntaxError, PolicyUnprintable, SyntaxProblem } from "./expression/PolicySyntaxError.ts"
export { printPolicy } from "./expression/printPolicy.ts"
export { decodePolicy } from "./plugin/decodePolicy.ts"
export * from "./plugin/defineProbe.ts"
export * from "./plugin/defineTrigger.ts"
export type { Heard } from "./Heard.ts"
export { fromEffect, type ProbeOptions } from "./plugin/fromEffect.ts"
export { PolicyDescription } from "./plugin/PolicyDescription.ts"
export {
  builtinRegistry,
  makeRegistry,
  mergeRegistries,
  type PublishedPart,
  type Registry,
  type RegistryParts
} from "./plugin/Registry.ts"
export { Policy } from "./Policy.ts"
export { PolicyError, PolicyProblem } from "./PolicyError.ts"
export * from "./resources/SnapshotResources.ts"
export * as Trigger from "./Trigger.ts"
