export * as NativeVmm from "./NativeVmm.ts"
export { AddonMissing } from "./binding/loadAddon.ts"
