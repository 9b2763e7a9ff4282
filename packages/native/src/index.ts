export * as NativeVmm from "./NativeVmm.ts"
export { AddonMissing } from "./binding/loadAddon.ts"
export { type OperationError, type ReasonName, reasonNames } from "./machine/reasonNames.ts"
