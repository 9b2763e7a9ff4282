/**
 * The frames of the control port: reads the agent's, writes the host's.
 *
 * @module
 */
import type { Field } from "../form.ts"
import { banner, enumerationOf, guestFrames, hex, hostFrames } from "../names.ts"
import { doc, limitOf, rustName, rustType, usedEnumerations, variantFields } from "./spelling.ts"

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

/** Writes a field into a frame. */
export const writing = (field: Field, value: string, byReference: boolean): string => {
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
