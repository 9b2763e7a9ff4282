/**
 * Events on their way to TypeScript.
 *
 * @module
 */
import { contract } from "../contract.ts"
import type { Field } from "../form.ts"
import { banner, enumerationOf, events } from "../names.ts"
import { rustName, variantFields } from "./spelling.ts"

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
