export * from "./GuestEvent.ts"
export * from "./MachineErrors.ts"
export * from "./Vmm.ts"
