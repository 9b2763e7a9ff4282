import { assert, it } from "vitest"
import { makeFolder, runStillpoint } from "./runStillpoint.ts"

it("the-command-line-bakes-another-program-of-an-image-with-another-environment", async () => {
  const { folder } = makeFolder()
  const serves9000 = "echo $SAID > /www/said; exec httpd -f -p 9000 -h /www"
  const asked = ["bake", "kit:httpd", "--at", "listener", "--env", "SAID=other", "--name", "other"]
  const baked = await runStillpoint(folder, [...asked, "--", "sh", "-c", serves9000])
  assert.strictEqual(baked.status, 0, baked.stderr)
  const get = ["wget", "-q", "-O", "-", "http://127.0.0.1:9000/said"]
  assert.strictEqual((await runStillpoint(folder, ["exec", "other", "--", ...get])).stdout, "other\n")
})
