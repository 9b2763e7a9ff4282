/**
 * The types of events, their kinds, and what they are made of.
 *
 * @module
 */
import { contract } from "../contract.ts"
import type { Field } from "../form.ts"
import { banner, contractHash, events, frameNames, helloHash, hex, pascal, screaming } from "../names.ts"
import { doc, rustName, rustType } from "./spelling.ts"

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
