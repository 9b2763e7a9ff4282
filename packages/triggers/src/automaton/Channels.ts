/**
 * The channels of all kinds of events, each with the parts that wait for it.
 *
 * @module
 */
import type { GuestEventKind } from "@stillpoint/core"
import type { AutomatonPart } from "./AutomatonPart.ts"
import { Channel } from "./Channel.ts"
import { eventKinds, kindNumber } from "./eventKinds.ts"

/** Kinds that tell what condition the guest is in, or how the agent answers. */
const tellingKinds: ReadonlySet<GuestEventKind> = new Set<GuestEventKind>([
  "GuestIdle",
  "GuestBusy",
  "IoStarted",
  "IoSettled",
  "ListenerBound",
  "ListenerClosed",
  "ConnectionOpened",
  "ConnectionClosed",
  "AgentFrozen",
  "AgentThawed",
  "AgentRejected"
])

/** The channels of one automaton. */
export class Channels {
  /** By the number of the kind; the last is of the kinds that this build does not know. */
  readonly byNumber: ReadonlyArray<Channel> = [...eventKinds, null].map(() => new Channel())

  /** The channel of a kind. */
  of(kind: string): Channel {
    return this.byNumber[kindNumber(kind)] as Channel
  }

  /** Makes a part receive some kinds while it listens to them, which it says with {@link listen}. */
  watch(part: AutomatonPart, kinds: ReadonlyArray<GuestEventKind>): ReadonlyArray<Channel> {
    const channels = kinds.map((kind) => this.of(kind))
    for (const channel of channels) channel.add(part)
    return channels
  }

  /** Makes the condition of the guest be followed, as far as some kinds tell it. */
  follow(kinds: ReadonlyArray<GuestEventKind>): void {
    for (const kind of kinds) if (tellingKinds.has(kind)) this.of(kind).isTelling = true
  }

  /** One part more, or one less, waits at some channels. */
  listen(channels: ReadonlyArray<Channel>, change: 1 | -1): void {
    for (let index = 0; index < channels.length; index++) (channels[index] as Channel).waiting += change
  }

  /** Stops all waits. */
  waitForNothing(): void {
    for (const channel of this.byNumber) channel.waiting = 0
  }

  /** All armed parts wait, and no others. */
  waitForTheArmed(): void {
    for (const channel of this.byNumber) {
      channel.waiting = channel.listeners.filter(({ life }) => life.isArmed).length
    }
  }

  /** Whether any part waits for an event. */
  get isListening(): boolean {
    for (let index = 0; index < this.byNumber.length; index++) {
      if ((this.byNumber[index] as Channel).waiting > 0) return true
    }
    return false
  }

  /** Kinds that some armed part waits for. */
  get listening(): ReadonlyArray<GuestEventKind> {
    return eventKinds.filter((kind) => this.of(kind).waiting > 0)
  }

  /** Kinds of events that the policy needs, now or later. */
  get interest(): ReadonlyArray<GuestEventKind> {
    return eventKinds.filter((kind) => this.of(kind).isTelling || this.of(kind).listeners.length > 0)
  }
}
