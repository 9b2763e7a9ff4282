/** Bundles a program with everything that it imports; its path, which is there as long as this process. */
export declare const bundled: (program: string) => Promise<string>
//# sourceMappingURL=bundled.d.ts.map
