/**
 * Readers of the words after a trigger's name.
 *
 * @module
 */
import { afterGuestTime } from "../builtin/afterGuestTime.ts"
import { atHeartbeat } from "../builtin/atHeartbeat.ts"
import { never } from "../builtin/never.ts"
import { onConnection } from "../builtin/onConnection.ts"
import { onCustom } from "../builtin/onCustom.ts"
import { onDirtyRateBelow } from "../builtin/onDirtyRateBelow.ts"
import { onEvent } from "../builtin/onEvent.ts"
import { onIdle } from "../builtin/onIdle.ts"
import { onListener } from "../builtin/onListener.ts"
import { onParked } from "../builtin/onParked.ts"
import { onPreExec } from "../builtin/onPreExec.ts"
import { onRequestServed } from "../builtin/onRequestServed.ts"
import { onSerialMatch } from "../builtin/onSerialMatch.ts"
import { onSerialText } from "../builtin/onSerialText.ts"
import type { Policy } from "../Policy.ts"
import type { WordReader } from "./WordReader.ts"

const listener = (reader: WordReader) => {
  const port = reader.numberAfterColon("the number of a port")
  const protocol = reader.maybe("tcp", "udp")
  const address = reader.maybe("on") === undefined ? undefined : reader.quoted(`an address such as "0.0.0.0"`)
  const open = reader.maybe("open")
  return () =>
    onListener({
      ...(protocol === undefined ? {} : { protocol }),
      ...(address === undefined ? {} : { address }),
      ...(port === undefined ? {} : { port }),
      ...(open === undefined ? {} : { counts: "listening" })
    })
}

const connection = (reader: WordReader) => {
  const port = reader.numberAfterColon("the number of a port")
  const direction = reader.maybe("outward")
  return () =>
    onConnection({ ...(port === undefined ? {} : { port }), ...(direction === undefined ? {} : { direction }) })
}

const served = (reader: WordReader) => {
  const port = reader.numberAfterColon("the number of a port")
  const count = reader.number("a number of requests")
  return () => onRequestServed(count, port === undefined ? {} : { port })
}

const serial =
  (make: (pattern: string | RegExp, options: { readonly port: number }) => Policy) => (reader: WordReader) => {
    const port = reader.numberAfterColon("the number of a serial port") ?? 0
    const pattern = reader.pattern()
    return () => make(pattern, { port })
  }

/** Readers of the words after a trigger's name. */
export const triggerWords: ReadonlyMap<string, (reader: WordReader) => () => Policy> = new Map([
  ["pre-exec", () => () => onPreExec()],
  ["listener", listener],
  ["after", lasting(afterGuestTime)],
  [
    "idle",
    (reader: WordReader) => {
      const nanos = reader.durationIfAny() ?? 10_000_000n
      return () => onIdle(nanos)
    }
  ],
  ["serial", serial(onSerialMatch)],
  ["prompt", serial(onSerialText)],
  [
    "heartbeat",
    (reader: WordReader) => {
      const count = reader.number("the number of a heartbeat")
      const console = reader.maybe("console") !== undefined
      return () => atHeartbeat(count, { console })
    }
  ],
  [
    "custom",
    (reader: WordReader) => {
      const name = reader.quoted(`the name of an event such as "caches-warm"`)
      return () => onCustom(name)
    }
  ],
  [
    "event",
    (reader: WordReader) => {
      const kind = reader.word("the kind of an event such as GuestIdle")
      return () => onEvent(kind as Parameters<typeof onEvent>[0])
    }
  ],
  [
    "dirty-below",
    (reader: WordReader) => {
      const rate = reader.number("a number of pages a second")
      reader.exactly("over")
      const nanos = reader.duration()
      return () => onDirtyRateBelow(rate, nanos)
    }
  ],
  ["connection", connection],
  ["served", served],
  ["parked", () => () => onParked()],
  ["never", () => () => never]
])

function lasting(make: (duration: bigint) => Policy) {
  return (reader: WordReader) => {
    const nanos = reader.duration()
    return () => make(nanos)
  }
}
