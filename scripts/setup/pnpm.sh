#!/usr/bin/env bash
# Puts the pinned pnpm at .tools/pnpm/node_modules/.bin/pnpm.
. "$(dirname "$0")/progress.sh"
version=12.21.0

if is_stamped pnpm "$version" && [ -x "$tools/pnpm/node_modules/.bin/pnpm" ]; then exit 0; fi
command -v npm >/dev/null || missing "npm" "apt-get install npm"
doing "fetching pnpm $version from npm"
npm install --loglevel=error --no-audit --no-fund --no-save --prefix "$tools/pnpm" "pnpm@$version" </dev/null >&2
stamp pnpm "$version"
finished "pnpm $version in .tools/pnpm"
