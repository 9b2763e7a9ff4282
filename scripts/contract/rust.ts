/**
 * The contract in Rust.
 *
 * @module
 */
import { contract } from "./contract.ts"
import type { Field } from "./form.ts"
import {
  banner,
  contractHash,
  enumerationOf,
  events,
  frameNames,
  guestFrames,
  helloHash,
  hex,
  hostFrames,
  pascal,
  screaming,
  snake
} from "./names.ts"

const rustName = ({ name, type }: Field): string => (type === "json" ? `${snake(name)}_json` : snake(name))

const rustType = (type: string): string => {
  const plain: Readonly<Record<string, string>> = {
    natural: "u64",
    bytes: "Vec<u8>",
    text: "String",
    json: "String",
    texts: "Vec<String>",
    kind: "EventKind",
    status: "ExitStatus",
    "u32?": "Option<u32>",
    "natural?": "Option<u64>"
  }
  return plain[type] ?? type
}

const limitOf = (name: string): string => `limits::${screaming(name)}`

const doc = (text: string, indent = ""): string => `${indent}/// ${text}\n`

const enumerations = (): string =>
  Object.entries(contract.enumerations)
    .map(([name, { doc: about, values }]) => {
      const entries = Object.entries(values)
      return `${doc(about)}#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ${name} {
${entries.map(([value, [, text]]) => `${doc(text, "    ")}    ${pascal(value)},`).join("\n")}
}

impl ${name} {
    /// Every value.
    pub const ALL: [Self; ${entries.length}] = [${entries.map(([value]) => `Self::${pascal(value)}`).join(", ")}];

    /// The value's number on the wire.
    pub const fn number(self) -> u8 {
        match self { ${entries.map(([value, [number]]) => `Self::${pascal(value)} => ${number}`).join(", ")} }
    }

    /// The value of that number.
    pub const fn by_number(number: u8) -> Option<Self> {
        Some(match number { ${entries.map(([value, [number]]) => `${number} => Self::${pascal(value)}`).join(", ")}, _ => return None })
    }
}
`
    })
    .join("\n")

const frameNameEnum = (): string => `/// A frame, by name: the host's, the agent's, or one that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameName {
${frameNames.map(([name, number]) => `    /// ${number === 0 ? "No frame has this number." : `Number ${hex(number)}.`}\n    ${name},`).join("\n")}
}

impl FrameName {
    /// Every value.
    pub const ALL: [Self; ${frameNames.length}] = [${frameNames.map(([name]) => `Self::${name}`).join(", ")}];

    /// The frame's number.
    pub const fn number(self) -> u8 {
        match self { ${frameNames.map(([name, number]) => `Self::${name} => ${hex(number)}`).join(", ")} }
    }

    /// The frame of that number.
    pub const fn by_number(number: u8) -> Self {
        match number { ${frameNames
          .filter(([, number]) => number !== 0)
          .map(([name, number]) => `${hex(number)} => Self::${name}`)
          .join(", ")}, _ => Self::Unknown }
    }
}
`

const sizeOf = (field: Field): string | null => {
  const name = rustName(field)
  switch (field.type) {
    case "text":
    case "json":
    case "bytes":
      return `${name}.len()`
    case "texts":
      return `${name}.iter().map(|item| item.len() + size_of::<String>()).sum::<usize>()`
    default:
      return null
  }
}

const sizes = (): string => {
  const arms = events.flatMap(([kind, { fields }]) => {
    const measured = fields.flatMap((field) => {
      const size = sizeOf(field)
      return size === null ? [] : [[rustName(field), size] as const]
    })
    if (measured.length === 0) return []
    const rest = measured.length < fields.length ? ", .." : ""
    return [
      `Self::${kind} { ${measured.map(([name]) => name).join(", ")}${rest} } => ${measured.map(([, size]) => size).join(" + ")},`
    ]
  })
  return arms.join("\n")
}

/** The event's types. */
export const rustEvents = (): string => `// ${banner}

use super::{Event, ExitStatus};

/// Bounds that both sides keep.
pub mod limits {
${Object.entries(contract.limits)
  .map(([name, limit]) => `${doc(`${limit.doc}.`, "    ")}    pub const ${screaming(name)}: usize = ${limit.value};`)
  .join("\n")}
}

/// Version of the contract.
pub const CONTRACT_VERSION: u32 = ${contract.version};

/// SHA-256 of the contract, in hexadecimal digits.
pub const CONTRACT_HASH: &str = "${contractHash}";

/// Part of the hash that the agent's hello carries.
pub const HELLO_HASH: u64 = ${helloHash};

${enumerations()}
${frameNameEnum()}
/// What happened. The kinds, their names and their fields are the same on every side.
#[derive(Debug, Clone, PartialEq)]
pub enum EventBody {
${events
  .map(
    ([kind, { doc: about, fields }]) =>
      `${doc(about, "    ")}    ${kind}${
        fields.length === 0
          ? ""
          : ` {\n${fields.map((field) => `${doc(field.doc, "        ")}        ${rustName(field)}: ${rustType(field.type)},`).join("\n")}\n    }`
      },`
  )
  .join("\n")}
}

/// The kinds of guest events; a kind's number is its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventKind {
${events.map(([kind, { doc: about }]) => `${doc(about, "    ")}    ${kind},`).join("\n")}
}

impl EventKind {
    /// Every kind, in the order of the contract.
    pub const ALL: [Self; ${events.length}] = [${events.map(([kind]) => `Self::${kind}`).join(", ")}];

    /// The kind's name: the \`_tag\` of its events.
    pub const fn name(self) -> &'static str {
        match self { ${events.map(([kind]) => `Self::${kind} => "${kind}"`).join(", ")} }
    }
}

impl EventBody {
    /// The kind of event that this is.
    pub const fn kind(&self) -> EventKind {
        match self { ${events.map(([kind, { fields }]) => `Self::${kind}${fields.length === 0 ? "" : " { .. }"} => EventKind::${kind}`).join(", ")} }
    }

    /// About how many bytes the event holds, for limits.
    pub fn size_bytes(&self) -> usize {
        size_of::<Event>() + match self { ${sizes()} _ => 0 }
    }
}
`

const reading = ({ most, type }: Field): string => {
  const limit = most === undefined ? limitOf("frameBytes") : limitOf(most)
  switch (type) {
    case "text":
      return most === "eventNameBytes" ? `payload.name(${limit})?` : `payload.text(${limit})?`
    case "json":
      return `payload.json(${limit})?`
    case "texts":
      return "payload.texts()?"
    case "bytes":
      return "payload.bytes()?.to_vec()"
    case "natural":
      return "payload.natural()?"
    case "status":
      return "payload.status()?"
    case "u32?":
      return "payload.optional(Payload::u32)?"
    case "natural?":
      return "payload.optional(Payload::natural)?"
    case "FrameName":
      return "FrameName::by_number(payload.u8()?)"
    default:
      return enumerationOf(type) === undefined
        ? `payload.${type}()?`
        : `${type}::by_number(payload.u8()?).ok_or(Malformed::Fields("a value of ${type}"))?`
  }
}

const writing = (field: Field, value: string, byReference: boolean): string => {
  const copied = byReference ? `*${value}` : value
  switch (field.type) {
    case "text":
    case "json":
      return `.bytes(${value}.as_bytes())`
    case "bytes":
      return `.bytes(${byReference ? value : `&${value}`})`
    case "texts":
      return `.list(${byReference ? value : `&${value}`})`
    case "bool":
      return `.u8(u8::from(${copied}))`
    case "natural":
    case "u64":
      return `.u64(${copied})`
    case "status":
      return `.status(${copied})`
    case "kind":
      return `.u8(${copied} as u8)`
    case "u32?":
      return `.optional(${copied}, FrameWriter::u32)`
    case "natural?":
      return `.optional(${copied}, FrameWriter::u64)`
    case "FrameName":
      return `.u8(${value}.number())`
    default:
      return enumerationOf(field.type) === undefined ? `.${field.type}(${copied})` : `.u8(${value}.number())`
  }
}

const variantFields = (fields: ReadonlyArray<Field>, by: (field: Field) => string): string =>
  fields.length === 0 ? "" : ` { ${fields.map(by).join(", ")} }`

const usedEnumerations = (): ReadonlyArray<string> =>
  Object.keys(contract.enumerations).filter((name) =>
    guestFrames.some(([, { fields }]) => fields.some(({ type }) => type === name))
  )

/** Frames of both directions. */
export const rustFrames = (): string => `// ${banner}

use super::wire::{FrameWriter, Malformed, Payload};
use crate::event::{EventBody, FrameName, HELLO_HASH, limits, ${usedEnumerations().join(", ")}};

/// The event that a frame of the agent's tells.
pub(super) fn event(frame: u8, payload: &mut Payload<'_>) -> Result<EventBody, Malformed> {
    Ok(match frame {
${guestFrames
  .map(([kind, { fields, isHello }, frame]) => {
    const body = `EventBody::${kind}${variantFields(fields, (field) => `${rustName(field)}: ${reading(field)}`)}`
    return isHello === true
      ? `        ${hex(frame)} => { let event = ${body}; payload.hello(HELLO_HASH)?; event }`
      : `        ${hex(frame)} => ${body},`
  })
  .join("\n")}
        _ => return Err(Malformed::Unknown),
    })
}

/// Numbers of the host's frames.
pub(super) const HOST_FRAMES: [u8; ${hostFrames.length}] = [${hostFrames.map(([, { frame }]) => hex(frame)).join(", ")}];

${hostFrames
  .flatMap(([, { doc: about, fields, structure }]) =>
    structure === undefined
      ? []
      : [
          `${doc(about)}#[derive(Debug, Clone, PartialEq, Eq, Default)]\npub struct ${structure} {\n${fields
            .map((field) => `${doc(field.doc, "    ")}    pub ${rustName(field)}: ${rustType(field.type)},`)
            .join("\n")}\n}\n`
        ]
  )
  .join("\n")}
/// A frame from the host to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostFrame {
${hostFrames
  .map(([name, { doc: about, fields, structure }]) => {
    const content =
      structure !== undefined
        ? `(${structure})`
        : fields.length === 0
          ? ""
          : ` {\n${fields.map((field) => `${doc(field.doc, "        ")}        ${rustName(field)}: ${rustType(field.type)},`).join("\n")}\n    }`
    return `${doc(about, "    ")}    ${name}${content},`
  })
  .join("\n")}
}

impl HostFrame {
    /// The frame's name.
    pub const fn name(&self) -> &'static str {
        match self {
${hostFrames
  .map(
    ([name, { fields, structure }]) =>
      `            Self::${name}${structure !== undefined ? "(_)" : fields.length === 0 ? "" : " { .. }"} => "${name}",`
  )
  .join("\n")}
        }
    }

    pub(super) fn write(&self) -> FrameWriter {
        match self {
${hostFrames
  .map(([name, { fields, frame, structure }]) =>
    structure === undefined
      ? `            Self::${name}${variantFields(fields, rustName)} => FrameWriter::new(${hex(frame)})${fields.map((field) => writing(field, rustName(field), true)).join("")},`
      : `            Self::${name}(it) => FrameWriter::new(${hex(frame)})${fields.map((field) => writing(field, `it.${rustName(field)}`, false)).join("")},`
  )
  .join("\n")}
        }
    }
}
`

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

/** What the agent sends, for tests: any event, and its frame. */
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

const bridged = (field: Field): string => {
  const name = rustName(field)
  switch (field.type) {
    case "text":
    case "json":
      return `super::bytes(into, ${name}.as_bytes());`
    case "bytes":
      return `super::bytes(into, ${name});`
    case "texts":
      return `super::texts(into, ${name});`
    case "status":
      return `super::status(into, *${name});`
    case "kind":
      return `into.push(*${name} as u8);`
    case "u32?":
    case "natural?":
      return `super::optional(into, ${name}.map(|value| value.to_le_bytes()));`
    case "u8":
      return `into.push(*${name});`
    default:
      return field.type === "FrameName" || enumerationOf(field.type) !== undefined
        ? `into.push(${name}.number());`
        : `into.extend_from_slice(&${name}.to_le_bytes());`
  }
}

const example = (field: Field): string => {
  switch (field.type) {
    case "text":
      return `"${field.name} — ✓".to_owned()`
    case "json":
      return '"{\\"entries\\":[1,2]}".to_owned()'
    case "bytes":
      return "vec![0, 255, 10]"
    case "texts":
      return 'vec!["/bin/httpd".to_owned(), "-f".to_owned(), String::new()]'
    case "status":
      return "ExitStatus::Signal(9)"
    case "kind":
      return "EventKind::ALL[EventKind::ALL.len() - 1]"
    case "u32?":
      return "Some(u32::MAX)"
    case "natural?":
      return "Some((1 << 53) - 1)"
    case "natural":
      return "(1 << 40) + 3"
    case "i32":
      return "-2"
    case "FrameName":
      return "FrameName::ALL[FrameName::ALL.len() - 1]"
    default:
      return enumerationOf(field.type) === undefined
        ? `${field.type}::MAX`
        : `${field.type}::ALL[${field.type}::ALL.len() - 1]`
  }
}

/** Events on the bridge. */
export const rustCodec = (): string => `// ${banner}

use stillpoint_vmm::event::{EventBody, EventKind, ExitStatus, FrameName, ${Object.keys(contract.enumerations)
  .filter((name) => events.some(([, { fields }]) => fields.some(({ type }) => type === name)))
  .join(", ")}};

/// Appends the fields of an event in the order of their declaration.
pub(super) fn fields(body: &EventBody, into: &mut Vec<u8>) {
    match body {
${events
  .map(
    ([kind, { fields }]) =>
      `        EventBody::${kind}${variantFields(fields, rustName)} => { ${fields.map(bridged).join(" ")} }`
  )
  .join("\n")}
    }
}

/// One event of every kind, with telling content.
pub(super) fn every_body() -> Vec<EventBody> {
    vec![
${events
  .map(
    ([kind, { fields }]) =>
      `        EventBody::${kind}${variantFields(fields, (field) => `${rustName(field)}: ${example(field)}`)},`
  )
  .join("\n")}
    ]
}
`
