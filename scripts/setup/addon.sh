#!/usr/bin/env bash
# Builds the Rust core and puts it where Node loads it: packages/native/stillpoint.node.
. "$(dirname "$0")/progress.sh"
cd "$root"

target="$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')"
case "$(uname -s)" in
  Darwin) library="$target/release/libstillpoint_binding.dylib" ;;
  *) library="$target/release/libstillpoint_binding.so" ;;
esac
if ! cargo build --release --locked -p stillpoint-binding --quiet 2>"$root/.cache/addon.log"; then
  cat "$root/.cache/addon.log" >&2
  exit 1
fi
if ! cmp -s "$library" packages/native/stillpoint.node; then
  # A new file, never the old one's bytes changed under a process that has it mapped.
  cp "$library" packages/native/stillpoint.node.new
  mv -f packages/native/stillpoint.node.new packages/native/stillpoint.node
  finished "native addon"
fi
