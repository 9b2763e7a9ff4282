/**
 * The source of a regular expression as JavaScript means it, for an engine that means some of it otherwise.
 *
 * RE2 has escapes that JavaScript reads as plain letters or sets: `\A`, `\z`, `\Q`, `\a`, `\pL`, `[[:alpha:]]`. Such an
 * expression means something else to its author, or is a mistake, so it is refused.
 *
 * @module
 */

/** White space and its complement, within a class. */
const space = "\\t-\\r \\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}"
const notSpace =
  "\\x00-\\x08\\x0e-\\x1f!-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}" +
  "\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{fefe}\\x{ff00}-\\x{10ffff}"

/** Any character but the ends of lines. */
const dot = "[^\\n\\r\\x{2028}\\x{2029}]"

/** Escapes that are read as they are: of classes and signs, of a code, of a sign that would mean something else. */
const escapes =
  /^\\(?:[dDwWsSbBnrtfv]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|c[A-Za-z]|0(?![0-9])|[\^$\\.*+?()[\]{}|/\-!"#%&',:;<=>@`~ ])/
const escapesOfUnicode = /^\\(?:u\{[0-9a-fA-F]+\}|[pP]\{[^}]*\})/

/** The expansion of some escapes for RE2. */
const meantOutside: Readonly<Record<string, string>> = { "\\s": `[${space}]`, "\\S": `[^${space}]`, "\\0": "\\x00" }
const meantInClass: Readonly<Record<string, string>> = { "\\s": space, "\\S": notSpace, "\\b": "\\x08", "\\0": "\\x00" }

/** Groups that are read: the others look around, or change what `.` is. */
const groups = /^\((?!\?)|^\(\?[im]*(?:-[im]+)?:|^\(\?<(?![=!])/

/** The expression for RE2, or the part that RE2 cannot match. */
export const readPattern = (
  source: string,
  { hasDotAll, isUnicode }: { readonly hasDotAll: boolean; readonly isUnicode: boolean }
): { readonly source: string } | { readonly unread: string } => {
  let read = ""
  let isInClass = false
  for (let at = 0; at < source.length;) {
    const rest = source.slice(at)
    let sign = rest[0] as string
    let meant = sign
    if (sign === "\\") {
      const [known] = escapes.exec(rest) ?? (isUnicode ? escapesOfUnicode.exec(rest) : null) ?? []
      if (known === undefined) return { unread: /^\\(?:k<[^>]*>|.?)/su.exec(rest)?.[0] ?? sign }
      sign = known
      meant = (isInClass ? meantInClass : meantOutside)[known] ?? known
    } else if (isInClass) {
      if (sign === "]") isInClass = false
      // A bracket in a class begins nothing, and two ampersands intersect nothing.
      else if (sign === "[" || sign === "&") meant = `\\${sign}`
    } else if (sign === "[") {
      isInClass = true
      if (rest.startsWith("[]") || rest.startsWith("[^]")) return { unread: rest.slice(0, rest.indexOf("]") + 1) }
    } else if (sign === "." && !hasDotAll) meant = dot
    else if (sign === "(" && !groups.test(rest)) return { unread: /^\(\?[^)]{0,3}/.exec(rest)?.[0] ?? "(" }
    read += meant
    at += sign.length
  }
  return { source: read }
}
