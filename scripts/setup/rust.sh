#!/usr/bin/env bash
# Checks that a Rust toolchain new enough for the workspace is there.
. "$(dirname "$0")/progress.sh"

wanted="$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")"
command -v cargo >/dev/null || missing "cargo (Rust $wanted or later)" "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
command -v cc >/dev/null || missing "a C compiler" "apt-get install build-essential"
found="$(cargo --version | cut -d' ' -f2)"
oldest="$(printf '%s\n%s\n' "$wanted" "${found%%-*}" | sort -V | head -n 1)"
[ "$oldest" = "$wanted" ] || missing "Rust $wanted or later (found $found)" "rustup update stable"
