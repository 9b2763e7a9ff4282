export * as NativeAgent from "./NativeAgent.ts"
export * as NativeVmm from "./NativeVmm.ts"
export { type AddonError, AddonMissing, ContractMismatch } from "./binding/loadAddon.ts"
export { type GuestMemory, guestMemory, GuestMemoryLimitInvalid, limitGuestMemory } from "./guestMemory.ts"
