#!/usr/bin/env bash
# Whether the Rust core compiles for macOS on Apple's processors. It is checked and not linked, and nothing of it is run: that takes a Mac.
# C of dependencies is passed over, for which their authors have compilers.
. "$(dirname "$0")/../setup/progress.sh"
cd "$root"

target=aarch64-apple-darwin
rustup target list --installed | grep -qx "$target" || rustup target add "$target" >&2
stubs="$(mktemp -d)"
trap 'rm -rf "$stubs"' EXIT
cat >"$stubs/cc" <<'EOF'
#!/usr/bin/env bash
for argument; do
  [ "${previous:-}" != -o ] || : >"$argument"
  previous=$argument
done
EOF
cat >"$stubs/ar" <<'EOF'
#!/usr/bin/env bash
for argument; do
  case "$argument" in *.a) printf '!<arch>\n' >"$argument" ;; esac
done
EOF
chmod +x "$stubs/cc" "$stubs/ar"
doing "checking the Rust core for macOS (some minutes the first time)"
CC_aarch64_apple_darwin="$stubs/cc" AR_aarch64_apple_darwin="$stubs/ar" cargo check --quiet --locked --target "$target" \
  --manifest-path packages/native/crates/binding/Cargo.toml
finished "core compiles for macOS"
