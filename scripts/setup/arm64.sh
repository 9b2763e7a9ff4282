#!/usr/bin/env bash
# Builds the addon for arm64 hosts, with Debian's cross compiler: .cache/addon/linux-arm64-gnu/stillpoint.node, which `make pack`
# packs beside the one of this host. Also what it is tried with on another host: QEMU's user emulation and the libraries that Node needs.
. "$(dirname "$0")/progress.sh"
cd "$root"

has_all() {
  command -v aarch64-linux-gnu-gcc qemu-aarch64 >/dev/null && [ -e /usr/aarch64-linux-gnu/lib/libstdc++.so.6 ] &&
    [ -e /usr/aarch64-linux-gnu/lib/libatomic.so.1 ]
}
if ! has_all; then
  doing "installing the arm64 cross compiler and QEMU's user emulation (Debian packages, about 300 MB)"
  packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross libstdc++6-arm64-cross libatomic1-arm64-cross qemu-user"
  # shellcheck disable=SC2086
  apt_install $packages && has_all ||
    missing "the arm64 cross compiler" "sudo apt-get update && sudo apt-get install -y --no-install-recommends $packages"
fi
target=aarch64-unknown-linux-gnu
rustup target list --installed | grep -qx "$target" || rustup target add "$target" >&2
out="$root/.cache/addon/linux-arm64-gnu"
mkdir -p "$out"
[ -f "$out/stillpoint.node" ] || doing "building the native addon for arm64 (Rust, some minutes the first time)"
CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc cargo build --quiet --release --locked --target "$target" \
  --manifest-path packages/native/crates/binding/Cargo.toml
cp "${CARGO_TARGET_DIR:-target}/$target/release/libstillpoint_binding.so" "$out/stillpoint.node.new"
mv -f "$out/stillpoint.node.new" "$out/stillpoint.node"
finished "native addon for arm64"
