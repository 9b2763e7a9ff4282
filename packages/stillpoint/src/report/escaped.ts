/**
 * Text of a guest's in a page or a picture.
 *
 * @module
 */

/**
 * Text escaped for HTML and XML, in an element or in a quoted attribute. Characters that XML cannot hold even when escaped become
 * the replacement character.
 */
export const escaped = (text: string): string =>
  text
    .toWellFormed()
    // oxlint-disable-next-line no-control-regex
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\ufffd")
    .replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
