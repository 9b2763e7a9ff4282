#!/usr/bin/env bash
# Bundles the command line that `./stillpoint` runs.
. "$(dirname "$0")/progress.sh"

. "$root/scripts/bundling/isBundled.sh"

is_bundled "$root" && exit 0
doing "bundling the command line"
node --conditions=stillpoint-source --no-warnings "$root/scripts/bundling/command.ts" >&2
finished "command line"
