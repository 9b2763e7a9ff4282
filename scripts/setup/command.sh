#!/usr/bin/env bash
# Bundles the command line that `./stillpoint` runs.
. "$(dirname "$0")/progress.sh"

whole="$root/packages/stillpoint/whole/main.js"
[ -z "$(find "$root"/packages/*/src "$root/pnpm-lock.yaml" "$root/scripts/bundling" -newer "$whole" -print -quit 2>&1)" ] && exit 0
doing "bundling the command line"
node --conditions=stillpoint-source --no-warnings "$root/scripts/bundling/command.ts" >&2
finished "command line"
