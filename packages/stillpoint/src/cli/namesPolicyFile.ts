/**
 * Whether the value of `--at` names a file: it is a path, or has the extension of JSON or of a language that Node loads. No expression looks
 * like that.
 */
export const namesPolicyFile = (at: string): boolean =>
  /^(\.{1,2}\/|\/)/.test(at) || /^[^\s|&()]+\.([cm]?[jt]s|json)$/.test(at)
