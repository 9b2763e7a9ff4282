/** The content of a store's folder. */
import { existsSync, readdirSync, statSync } from "node:fs"
import { join } from "node:path"

/** Names in the folder of a store's snapshots, and those of the objects there that no snapshot has. */
export const namesInStore = (home: string): ReadonlyArray<string> => {
  const [snapshots, objects] = [join(home, "snapshots"), join(home, "snapshots", "objects")]
  const inside = (folder: string) => (existsSync(folder) ? readdirSync(folder) : [])
  return [
    ...inside(snapshots).filter((name) => name !== "objects"),
    ...inside(objects)
      .filter((name) => statSync(join(objects, name)).nlink < 2)
      .map((name) => `objects/${name}`)
  ]
}

/** The paths of a snapshot's objects. */
export const objectsIn = (directory: string): ReadonlyArray<string> => {
  const contents = join(directory, readdirSync(directory).find((name) => name.startsWith("contents-")) ?? "")
  return readdirSync(contents)
    .filter((name) => /^[0-9a-f]{64}$/.test(name))
    .map((name) => join(contents, name))
}

/** The share of the bytes in a snapshot's objects that no other snapshot of the store has. */
export const ownShare = (directory: string): number => {
  const objects = objectsIn(directory).map((path) => statSync(path))
  const bytes = (of: typeof objects) => of.reduce((sum, { size }) => sum + size, 0)
  return bytes(objects.filter(({ nlink }) => nlink <= 2)) / bytes(objects)
}
