/** The images of real programs that `scripts/setup/test-images.sh` makes. */
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

/** The folder of their OCI layout. */
export const testImageLayout = fileURLToPath(new URL("../../.cache/test-images/layout", import.meta.url))

/** The names of the existing ones. */
export const testImages = (): ReadonlyArray<string> => {
  const index = `${testImageLayout}/index.json`
  if (!existsSync(index)) return []
  const { manifests } = JSON.parse(readFileSync(index, "utf8")) as {
    readonly manifests: ReadonlyArray<{ readonly annotations: Readonly<Record<string, string>> }>
  }
  return manifests.map(({ annotations }) => annotations["org.opencontainers.image.ref.name"] ?? "")
}
