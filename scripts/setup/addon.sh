#!/usr/bin/env bash
# Builds the Rust core and puts it where Node loads it: packages/native/stillpoint.node. The declarations of what it
# exports go to .cache/addon/, where `make check` compares them with the committed ones.
. "$(dirname "$0")/progress.sh"
cd "$root/packages/native"

out="$root/.cache/addon"
mkdir -p "$out"
[ -f stillpoint.node ] || doing "building the native addon (Rust, some minutes the first time)"
if ! "$root/node_modules/.bin/napi" build --manifest-path crates/binding/Cargo.toml --package-json-path package.json \
  --release --no-js --dts addon.d.ts --output-dir "$out" >"$root/.cache/addon.log" 2>&1 </dev/null; then
  cat "$root/.cache/addon.log" >&2
  exit 1
fi
if ! cmp -s "$out/stillpoint.node" stillpoint.node; then
  # A new file, never the old one's bytes changed under a process that has it mapped.
  cp "$out/stillpoint.node" stillpoint.node.new
  mv -f stillpoint.node.new stillpoint.node
  finished "native addon"
fi
