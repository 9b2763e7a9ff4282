/**
 * The contract in C, for the agent.
 *
 * @module
 */
import { contract } from "./contract.ts"
import { banner, contractHash, guestFrames, helloHash, hex, hostFrames, screaming } from "./names.ts"

const enumOf = (name: string, prefix: string, entries: ReadonlyArray<readonly [string, string, string?]>): string =>
  `enum ${name} {\n${entries
    .map(
      ([value, number, about]) =>
        `\t${prefix}${screaming(value)} = ${number},${about === undefined ? "" : ` /* ${about} */`}`
    )
    .join("\n")}\n};`

/** The header. */
export const cHeader = (): string => `/* ${banner} */
#ifndef STILLPOINT_CONTRACT_H
#define STILLPOINT_CONTRACT_H

#include <stdint.h>

enum { CONTRACT_VERSION = ${contract.version} };

/* ${contractHash}: the first eight bytes, which AgentReady carries behind its fields. */
#define CONTRACT_HASH UINT64_C(${helloHash})

enum contract_limit {
${Object.entries(contract.limits)
  .map(([name, { doc, value }]) => `\t/* ${doc}. */\n\tLIMIT_${screaming(name)} = ${value},`)
  .join("\n")}
};

/* Frames of the guest; the comment says their fields. */
${enumOf(
  "guest_frame",
  "FRAME_",
  guestFrames.map(([kind, { fields, isHello }, frame]) => [
    kind,
    hex(frame),
    [...fields.map(({ name, type }) => `${name} ${type}`), ...(isHello === true ? ["CONTRACT_HASH u64"] : [])].join(
      ", "
    ) || "no fields"
  ])
)}

/* Frames of the host. */
${enumOf(
  "host_frame",
  "FRAME_",
  hostFrames.map(([name, { fields, frame }]) => [
    name,
    hex(frame),
    fields.map(({ name: field, type }) => `${field} ${type}`).join(", ") || "no fields"
  ])
)}
${Object.entries(contract.enumerations)
  .map(
    ([name, { doc, values }]) =>
      `\n/* ${doc} */\n${enumOf(
        screaming(name).toLowerCase(),
        `${screaming(name)}_`.replace(/^REJECT_REASON_/, "REASON_"),
        Object.entries(values).map(([value, [number, about]]) => [value, String(number), about])
      )}`
  )
  .join("\n")}

#endif
`
