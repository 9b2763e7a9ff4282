/**
 * A machine's operations that concern its agent.
 *
 * @module
 */
import type { Agent, Machine } from "../Vmm.ts"

/** The agent, and the operations of a machine that are its agent's by another name. */
export const askedOfAgent = (
  agent: Agent
): Pick<Machine, "agent" | "go" | "sendSerial" | "exec" | "spawn" | "files"> => ({
  agent,
  go: agent.go,
  sendSerial: agent.type,
  exec: agent.execute,
  spawn: agent.spawn,
  files: agent.files
})
