import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterAll, assert, it } from "vitest"
import { rustModuleGraphs } from "./rustModules.ts"

const folder = mkdtempSync(join(tmpdir(), "stillpoint-modules-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const edgesOf = (files: Readonly<Record<string, string>>): ReadonlyArray<string> => {
  const source = mkdtempSync(join(folder, "crate-"))
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(source, path)), { recursive: true })
    writeFileSync(join(source, path), text)
  }
  return [...rustModuleGraphs(source).because.keys()].toSorted()
}

it("an-edge-is-found-however-it-is-written", () => {
  const edges = edgesOf({
    "lib.rs": "mod a; mod b; mod c; mod d; mod e; mod f;",
    "a.rs": "use crate::{b::B, c::{self, C as D}};",
    "b.rs": "fn f() { crate::d::g(); }",
    "c.rs": "pub(crate) use super::e::E;",
    "d.rs": "",
    "e.rs": '// use crate::a::A;\nlet text = "use crate::a::A;";',
    "f.rs": "fn f<'a>(c: &'a char) { match c { '\"' => crate::d::g(), '\\'' | '\\u{22}' => 1, '\"' => 2 } }"
  })
  assert.deepStrictEqual(edges, ["a → b", "a → c", "b → d", "c → e", "f → d"])
})

it("a-name-that-a-folder-passes-on-is-its-modules", () => {
  const edges = edgesOf({
    "lib.rs": "mod f; mod g;",
    "f/mod.rs": "mod x; mod y; pub use x::X;",
    "f/x.rs": "",
    "f/y.rs": "use super::X;",
    "g.rs": "use crate::f::X;"
  })
  assert.deepStrictEqual(edges, ["f/y → f/x", "g → f"])
})

it("tests-may-look-anywhere-and-a-folder-holds-its-modules", () => {
  const edges = edgesOf({
    "lib.rs": "mod a; mod b;",
    "a.rs": "use crate::b::B;",
    "b.rs": "pub struct B;\n#[cfg(test)]\nmod tests { use crate::a::A; }",
    "c/mod.rs": "mod d; use d::D; pub const E: u8 = 1;",
    "c/d.rs": "use super::E;",
    "c/tests.rs": "use crate::a::A;"
  })
  assert.deepStrictEqual(edges, ["a → b"])
})
