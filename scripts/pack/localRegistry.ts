/**
 * A registry on loopback that has our packed packages, and redirects requests for others to the registry that this host uses: an
 * installation from it resolves, fetches and links our packages as it will once they are published.
 *
 * @module
 */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { basename } from "node:path"

interface Packed {
  readonly bytes: Buffer
  readonly json: { readonly name: string; readonly version: string }
}

const readPacked = (tarball: string): Packed => ({
  bytes: readFileSync(tarball),
  json: JSON.parse(
    execFileSync("tar", ["-xzOf", tarball, "package/package.json"], { encoding: "utf8" })
  ) as Packed["json"]
})

/** What a registry says of a package: https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md */
const packument = ({ bytes, json }: Packed, tarball: string) => ({
  name: json.name,
  "dist-tags": { latest: json.version },
  // Some package managers wait before they use a new release, or one without a date.
  time: { [json.version]: new Date(0).toISOString() },
  versions: {
    [json.version]: {
      ...json,
      dist: {
        tarball,
        shasum: createHash("sha1").update(bytes).digest("hex"),
        integrity: `sha512-${createHash("sha512").update(bytes).digest("base64")}`
      }
    }
  }
})

/** A registry that is being served. */
export interface LocalRegistry extends AsyncDisposable {
  readonly url: string
  /** Names of ours that were fetched, in order. */
  readonly fetched: ReadonlyArray<string>
}

/** Serves the tarballs; `upstream` is the address of the registry that has all other packages. */
export const serveRegistry = async (tarballs: ReadonlyArray<string>, upstream: string): Promise<LocalRegistry> => {
  const ours = tarballs.map((path) => ({ ...readPacked(path), file: basename(path) }))
  const fetched: Array<string> = []
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? "/").replace(/\?.*/, "")
    const asked = ours.find(({ json }) => path === `/${json.name}`)
    const file = ours.find((each) => path === `/-/${each.file}`)
    if (asked !== undefined) {
      response.setHeader("content-type", "application/json")
      response.end(JSON.stringify(packument(asked, `${url}-/${asked.file}`)))
    } else if (file !== undefined) {
      fetched.push(file.json.name)
      response.end(file.bytes)
    } else {
      response.writeHead(302, { location: new URL((request.url ?? "/").slice(1), upstream).href }).end()
    }
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  return {
    url,
    fetched,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  }
}
