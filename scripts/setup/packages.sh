#!/usr/bin/env bash
# Installs the JavaScript packages that pnpm-lock.yaml names.
. "$(dirname "$0")/progress.sh"
cd "$root"

inputs="$(digest_of pnpm-lock.yaml pnpm-workspace.yaml package.json $(git ls-files '*/package.json'))"
if is_stamped packages "$inputs" && [ -x node_modules/.bin/vitest ]; then exit 0; fi
doing "installing JavaScript packages (pnpm install --frozen-lockfile)"
"$tools/pnpm/node_modules/.bin/pnpm" install --frozen-lockfile --prefer-offline --reporter=append-only </dev/null >"$root/.cache/pnpm.log" 2>&1 || {
  tail -n 20 "$root/.cache/pnpm.log" >&2
  exit 1
}
stamp packages "$inputs"
finished "JavaScript packages"
