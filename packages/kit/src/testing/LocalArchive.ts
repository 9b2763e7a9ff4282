/**
 * A Debian archive on a loopback server, whose every answer a test can spoil.
 *
 * Its signature is a digest of the text, and {@link layerVerifier} accepts exactly those: the tests
 * check that the kit verifies and obeys, not OpenPGP.
 *
 * @module
 */
import type { GuestPlatform } from "@stillpoint/core"
import { Effect, Layer, type Scope } from "effect"
import { createHash } from "node:crypto"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { gzipSync } from "node:zlib"
import { Archive, type ArchiveConfig } from "../archive/Archive.ts"
import { SignatureVerifier } from "../archive/SignatureVerifier.ts"
import { KitError, SignatureInvalid } from "../KitError.ts"
import { clearsign, debOf, moduleOf, sha256, stanzaOf } from "./debianFiles.ts"

/** The ways to spoil an answer. */
export type Spoiling = "cut" | "flip" | "longer" | "error" | "hang-up"

/** The running archive. */
export interface LocalArchive {
  readonly config: ArchiveConfig
  /** Everything that is served, by path. */
  readonly files: Map<string, Buffer>
  /** Spoils the next answers to paths that end like this: `times` of them. */
  readonly spoil: (ending: string, how: Spoiling, times: number) => void
  /** Called after each request with its path and the number of requests for it so far. */
  readonly onRequest: (listener: (path: string, count: number) => void) => void
  /** The requested paths so far. */
  readonly requests: Array<string>
  /** Publishes kernel and busybox in these versions, in place of earlier ones, with a fresh index. */
  readonly publish: (kernelVersion: string, busyboxVersion: string) => void
  /** Forgets earlier versions: the service for old packages has none. */
  readonly dropPast: () => void
  /** Stops answering. */
  readonly shutDown: () => void
  readonly layer: Layer.Layer<Archive>
}

/** Accepts what {@link clearsign} signed with `sha256`. */
export const layerVerifier: Layer.Layer<SignatureVerifier> = Layer.succeed(
  SignatureVerifier,
  SignatureVerifier.of({
    verify: (source, text, signature) =>
      signature.includes(sha256(text))
        ? Effect.void
        : Effect.fail(new KitError({ reason: new SignatureInvalid({ source, detail: "not the digest of the text" }) }))
  })
)

/** The files of the kernel and busybox packages that {@link LocalArchive.publish} makes. */
export const kernelFiles = (version: string, flavour = "riscv64"): ReadonlyMap<string, Buffer> =>
  new Map([
    [`boot/config-${version}`, Buffer.from("CONFIG=y\n")],
    [`boot/vmlinux-${version}`, Buffer.from(`kernel ${version} `.repeat(5000))],
    [`usr/lib/modules/${version}+deb13-${flavour}/modules.builtin`, Buffer.from("kernel/fs/overlayfs/overlay.ko\n")],
    ...[
      ["drivers/char/hw_random/virtio-rng.ko", moduleOf("virtio_rng", [])],
      ["drivers/virtio/virtio_mmio.ko.gz", gzipSync(moduleOf("virtio_mmio", []))],
      ["fs/ext4/ext4.ko", moduleOf("ext4", ["mbcache", "overlay"])],
      ["fs/mbcache.ko", moduleOf("mbcache", [])],
      ["drivers/net/e1000.ko", moduleOf("e1000", [])]
    ].map(
      ([path, content]) =>
        [`usr/lib/modules/${version}+deb13-${flavour}/kernel/${String(path)}`, content as Buffer] as const
    )
  ])

const spoilt = (bytes: Buffer, how: Spoiling): Buffer => {
  switch (how) {
    case "cut":
      return bytes.subarray(0, bytes.length >> 1)
    case "longer":
      return Buffer.concat([bytes, Buffer.from("more")])
    case "flip": {
      const copy = Buffer.from(bytes)
      copy[bytes.length >> 1] = (copy[bytes.length >> 1] ?? 0) ^ 1
      return copy
    }
    default:
      return bytes
  }
}

const start = (platform: GuestPlatform) =>
  Effect.callback<LocalArchive>((resume) => {
    const flavour = platform === "amd64" ? "cloud-amd64" : platform
    const files = new Map<string, Buffer>()
    const requests: Array<string> = []
    let listener = (_path: string, _count: number): void => {}
    const plans: Array<{ ending: string; how: Spoiling; left: number }> = []
    const server = createServer((request, response) => {
      const path = decodeURIComponent(request.url ?? "")
      requests.push(path)
      const bytes = files.get(path)
      const plan = plans.find((item) => item.left > 0 && path.endsWith(item.ending))
      if (plan !== undefined) plan.left--
      if (bytes === undefined) response.writeHead(404).end()
      else if (plan?.how === "error") response.writeHead(503).end()
      else if (plan?.how === "hang-up") {
        response.writeHead(200, { "content-length": bytes.length })
        response.write(bytes.subarray(0, 10), () => response.destroy())
      } else response.writeHead(200).end(plan === undefined ? bytes : spoilt(bytes, plan.how))
      listener(path, requests.filter((item) => item === path).length)
    })
    const publish = (kernelVersion: string, busyboxVersion: string) => {
      for (const path of files.keys()) if (!path.startsWith("/past/")) files.delete(path)
      const kernel = debOf(kernelFiles(kernelVersion, flavour))
      const busybox = debOf(new Map([["usr/bin/busybox", Buffer.from(`busybox ${busyboxVersion}`)]]))
      const name = `linux-image-${kernelVersion}+deb13-${flavour}`
      const [kernelPath, busyboxPath] = [`pool/l/${name}.deb`, `pool/b/busybox-static_${busyboxVersion}.deb`]
      const packages = [
        stanzaOf("busybox-static", busyboxVersion, busyboxPath, busybox),
        stanzaOf(name, `${kernelVersion}-1`, kernelPath, kernel),
        stanzaOf(`linux-image-9.99.1+deb13-${flavour}`, "9.99.1-1", "pool/l/other.deb", Buffer.from("unused")),
        stanzaOf(`linux-image-${flavour}`, `${kernelVersion}-1`, "pool/l/meta.deb", Buffer.from("m"), `${name} (= 1)`)
      ].join("\n")
      const index = gzipSync(packages)
      const digest = sha256(index)
      const release = `Origin: Test\nCodename: trixie\nAcquire-By-Hash: yes\nSHA256:\n ${digest} ${index.length} main/binary-${platform}/Packages.gz`
      for (const [binary, version, path, deb] of [
        [name, `${kernelVersion}-1`, kernelPath, kernel],
        ["busybox-static", busyboxVersion, busyboxPath, busybox]
      ] as const) {
        files.set(`/${path}`, deb)
        const sha1 = createHash("sha1").update(deb).digest("hex")
        const file = { name: path.slice(path.lastIndexOf("/") + 1), size: deb.length, archive_name: "debian" }
        const answer = { binary, fileinfo: { [sha1]: [file] } }
        files.set(`/past/mr/binary/${binary}/${version}/binfiles?fileinfo=1`, Buffer.from(JSON.stringify(answer)))
        files.set(`/past/file/${sha1}`, deb)
      }
      files.set(`/dists/trixie/main/binary-${platform}/by-hash/SHA256/${digest}`, index)
      files.set(`/dists/trixie/main/binary-${platform}/Packages.gz`, index)
      files.set("/dists/trixie/InRelease", Buffer.from(clearsign(release, sha256)))
    }
    server.listen(0, "127.0.0.1", () => {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      const config = { url, suite: "trixie", architecture: platform, pastUrl: `${url}/past` }
      resume(
        Effect.succeed({
          config,
          files,
          requests,
          onRequest: (f) => {
            listener = f
          },
          spoil: (ending, how, times) => void plans.push({ ending, how, left: times }),
          publish,
          dropPast: () => {
            for (const path of files.keys()) if (path.startsWith("/past/")) files.delete(path)
          },
          shutDown: () => {
            server.closeAllConnections()
            server.close()
          },
          layer: Archive.layerNoDeps(config).pipe(Layer.orDie, Layer.provide(layerVerifier))
        })
      )
    })
  })

/** An archive for guests of that platform, which runs until the scope closes. */
export const localArchiveOf = (platform: GuestPlatform): Effect.Effect<LocalArchive, never, Scope.Scope> =>
  Effect.acquireRelease(start(platform), (archive) => Effect.sync(archive.shutDown))

/** The same, for riscv64. */
export const localArchive = localArchiveOf("riscv64")
