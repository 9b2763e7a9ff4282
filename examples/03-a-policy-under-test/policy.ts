/**
 * When to capture a web server: once it listens and has been calm for 5 ms; if it does not listen, two seconds after its start.
 *
 * The machine measures the calm. With `agent: "ask"` the agent would also freeze the server first, which a boot that was
 * recorded without this policy cannot show.
 *
 * @module
 */
import { afterGuestTime, andThen, onListener, onPreExec, precedence, quiesce } from "@stillpoint/triggers"

export const serverIsReady = precedence([
  quiesce(onListener({ port: 8080 }), {
    calmFor: "5 millis",
    deadline: "1 second",
    onDeadline: "capture",
    agent: "none"
  }),
  andThen(onPreExec(), afterGuestTime("2 seconds"))
])
