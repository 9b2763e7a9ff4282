import { describe, it } from "@effect/vitest"
import { isDoneOrRefusedByName, rubbish } from "@stillpoint/core/testing"
import { onListener } from "@stillpoint/triggers"
import * as fc from "fast-check"
import { readMoment } from "./readMoment.ts"

describe("whatever a program without types hands to", () => {
  it.effect("readMoment-is-a-policy-or-refused-by-name", () =>
    isDoneOrRefusedByName(
      (moment) => readMoment(moment),
      [fc.oneof(rubbish, fc.constant(onListener()), fc.constantFrom("listener:80", "{", "{}"))]
    )
  )
})
