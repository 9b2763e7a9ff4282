/**
 * Before the tests of a file: fast-check tries the cases of the run's seed, if there is one.
 *
 * @module
 */
import * as fc from "fast-check"

const seed = process.env["STILLPOINT_SEED"] ?? ""
if (seed !== "") fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(seed) })
