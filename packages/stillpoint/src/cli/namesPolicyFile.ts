/** Whether what `--at` is given names a file: what an expression never looks like is a path, or a file of a language that Node loads. */
export const namesPolicyFile = (at: string): boolean =>
  /^(\.{1,2}\/|\/)/.test(at) || /^[^\s|&()]+\.[cm]?[jt]s$/.test(at)
