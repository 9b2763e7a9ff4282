export * from "./Law.ts"
export * from "./MemoryFiles.ts"
export * from "./ScriptedVmm.ts"
export * from "./snapshotStoreLaws.ts"
