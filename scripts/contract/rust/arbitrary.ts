/**
 * Any event of the agent and its frame, for property tests.
 *
 * @module
 */
import type { Field } from "../form.ts"
import { banner, enumerationOf, guestFrames, hex } from "../names.ts"
import { writing } from "./frames.ts"
import { rustName, usedEnumerations, variantFields } from "./spelling.ts"

const strategy = ({ type, most }: Field): string => {
  switch (type) {
    case "text":
      return most === "eventNameBytes" ? '"[A-Za-z0-9._:/][A-Za-z0-9._:/-]{0,63}"' : '".{0,40}"'
    case "json":
      return "payloads()"
    case "texts":
      return 'proptest::collection::vec(".{0,20}", 0..5)'
    case "bytes":
      return "proptest::collection::vec(any::<u8>(), 0..200)"
    case "natural":
      return "0..=HORIZON_NANOS"
    case "status":
      return "statuses()"
    case "u32?":
      return "any::<Option<u32>>()"
    case "natural?":
      return "proptest::option::of(0..=HORIZON_NANOS)"
    case "FrameName":
      return "proptest::sample::select(FrameName::ALL.to_vec())"
    default:
      return enumerationOf(type) === undefined ? `any::<${type}>()` : `proptest::sample::select(${type}::ALL.to_vec())`
  }
}

/** The agent's frames, for tests: any event, and its frame. */
export const rustArbitrary = (): string => `// ${banner}

use super::{payloads, statuses};
use crate::control::wire::FrameWriter;
use crate::event::{EventBody, FrameName, HELLO_HASH, ${usedEnumerations().join(", ")}};
use crate::machine::HORIZON_NANOS;
use proptest::prelude::*;

/// Any event that the agent can tell.
pub(super) fn events() -> impl Strategy<Value = EventBody> {
    prop_oneof![
${guestFrames
  .map(([kind, { fields }]) => {
    const names = fields.map(rustName).join(", ")
    if (fields.length === 0) return `        Just(EventBody::${kind}),`
    const [only] = fields
    return fields.length === 1 && only !== undefined
      ? `        (${strategy(only)}).prop_map(|${names}| EventBody::${kind} { ${names} }),`
      : `        (${fields.map(strategy).join(", ")}).prop_map(|(${names})| EventBody::${kind} { ${names} }),`
  })
  .join("\n")}
    ]
}

/// The frame in which the agent tells an event.
pub(super) fn encode(event: &EventBody) -> Vec<u8> {
    let writer = match event {
${guestFrames
  .map(
    ([kind, { fields, isHello }, frame]) =>
      `        EventBody::${kind}${variantFields(fields, rustName)} => FrameWriter::new(${hex(frame)})${fields
        .map((field) => writing(field, rustName(field), true))
        .join("")}${isHello === true ? ".u64(HELLO_HASH)" : ""},`
  )
  .join("\n")}
        other => panic!("the agent does not tell {other:?}"),
    };
    writer.finish().expect("small")
}
`
