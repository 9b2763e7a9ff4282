/** Prints the cost of this process's first guest, with the caches of a folder: `node firstGuest.ts FOLDER`. */
import { Effect } from "effect"
import { created, redis, servicesIn, timed } from "./createdGuests.ts"

const program = Effect.flatMap(redis, (image) => timed(created({ image })))
const taken = await Effect.runPromise(Effect.provide(program, servicesIn(process.argv[2] ?? "")))
process.stdout.write(JSON.stringify(taken))
