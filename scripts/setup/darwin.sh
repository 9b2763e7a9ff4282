#!/usr/bin/env bash
# Builds the addon for Macs with Apple's processors, with zig as its linker: .cache/addon/darwin-arm64/stillpoint.node, which `make pack`
# packs beside the one of this host. Nothing here can run it: it is untested. On a Mac, cargo alone builds it.
. "$(dirname "$0")/progress.sh"
cd "$root"

zig="$root/.cache/zig"
versions=(ziglang==0.17.1 cargo-zigbuild==0.24.1)
if ! is_stamped zig "${versions[*]}" || [ ! -d "$zig/ziglang" ]; then
  python3 -m pip --version >/dev/null 2>&1 || missing "pip" "sudo apt-get install -y python3-pip"
  doing "fetching zig and cargo-zigbuild from PyPI (about 100 MB once)"
  rm -rf "$zig"
  python3 -m pip install --quiet --no-deps --target "$zig" "${versions[@]}" >&2
  stamp zig "${versions[*]}"
fi
target=aarch64-apple-darwin
rustup target list --installed | grep -qx "$target" || rustup target add "$target" >&2

# Apple's SDK is not here. The names of its frameworks' functions, as the crates that call them declare them, are all that linking needs.
stubs="$root/.cache/darwin-stubs"
cargo metadata --locked --format-version 1 --filter-platform "$target" \
  --manifest-path packages/native/crates/binding/Cargo.toml | python3 -c '
import glob, json, os, re, sys
crates = {"security-framework-sys": "Security", "core-foundation-sys": "CoreFoundation"}
for package in json.load(sys.stdin)["packages"]:
    framework = crates.get(package["name"])
    if framework is None:
        continue
    names = set()
    for path in glob.glob(os.path.dirname(package["manifest_path"]) + "/src/**/*.rs", recursive=True):
        names.update(re.findall(r"pub (?:fn|static) (\w+)\s*[(:]", open(path).read()))
    folder = f"{sys.argv[1]}/{framework}.framework"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/{framework}.tbd", "w") as stub:
        stub.write(f"""--- !tapi-tbd
tbd-version: 4
targets: [ arm64-macos ]
install-name: /System/Library/Frameworks/{framework}.framework/Versions/A/{framework}
exports:
  - targets: [ arm64-macos ]
    symbols: [ {", ".join("_" + name for name in sorted(names))} ]
...
""")
' "$stubs"

out="$root/.cache/addon/darwin-arm64"
mkdir -p "$out"
cat >"$zig/zig" <<END
#!/bin/sh
exec env PYTHONPATH="$zig" python3 -m ziglang "\$@"
END
chmod +x "$zig/zig"
[ -f "$out/stillpoint.node" ] || doing "building the native addon for macOS (Rust, some minutes the first time)"
CARGO_ZIGBUILD_ZIG_PATH="$zig/zig" CARGO_ZIGBUILD_CACHE_DIR="$zig/cache" ZIG_GLOBAL_CACHE_DIR="$zig/cache" \
  "$zig/bin/cargo-zigbuild" rustc --quiet --release --locked --target "$target" \
  --manifest-path packages/native/crates/binding/Cargo.toml -- -C "link-arg=-F$stubs"
cp "${CARGO_TARGET_DIR:-target}/$target/release/libstillpoint_binding.dylib" "$out/stillpoint.node.new"
mv -f "$out/stillpoint.node.new" "$out/stillpoint.node"
finished "native addon for macOS, untested"
