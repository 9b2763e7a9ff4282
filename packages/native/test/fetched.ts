/** Requests by HTTP, each on a connection of its own. */
import { get } from "node:http"

/** The answer at an address, in the parts in which it arrived. */
export const fetched = (from: string): Promise<ReadonlyArray<Buffer>> =>
  new Promise((resolve, reject) => {
    get(from, { agent: false }, (response) => {
      const parts: Array<Buffer> = []
      response.on("data", (part: Buffer) => parts.push(part))
      response.on("end", () => resolve(parts))
      response.on("error", reject)
    }).on("error", reject)
  })
