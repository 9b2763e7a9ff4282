/**
 * Names and files of a file system in memory, and the changes to them.
 *
 * @module
 */
import { dirname } from "node:path"

/** A file, by whatever names. */
export interface Inode {
  readonly number: number
  data: Uint8Array
  durable: Uint8Array
}
/** What a path has. */
export type Entry =
  | { readonly kind: "directory"; readonly inode: { readonly number: number } }
  | { readonly kind: "file"; readonly inode: Inode }
/** Everything there is, by path. */
export type Tree = Map<string, Entry>
/** A change of names. */
export type Change =
  | { readonly kind: "create"; readonly path: string; readonly entry: Entry }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "remove"; readonly path: string }

/** Whether a path is another one, or in it. */
export const under = (path: string, root: string): boolean => path === root || path.startsWith(`${root}/`)

/** Makes a change. */
export const apply = (tree: Tree, change: Change): void => {
  if (change.kind === "create") {
    tree.set(change.path, change.entry)
  } else if (change.kind === "remove") {
    for (const path of tree.keys()) if (under(path, change.path)) tree.delete(path)
  } else {
    for (const path of tree.keys()) if (under(path, change.to)) tree.delete(path)
    for (const [path, entry] of Array.from(tree)) {
      if (!under(path, change.from)) continue
      tree.delete(path)
      tree.set(change.to + path.slice(change.from.length), entry)
    }
  }
}

/** Whether a change is durable once a directory is flushed. */
export const touches = (change: Change, directory: string): boolean =>
  change.kind === "rename"
    ? dirname(change.from) === directory || dirname(change.to) === directory
    : dirname(change.path) === directory
