#!/usr/bin/env bash
# Fetches, verifies and caches the guest kit: Debian's riscv64 kernel and static busybox.
. "$(dirname "$0")/progress.sh"
cd "$root"

lock=packages/kit/guest-kit.lock.json
inputs="$(digest_of "$lock" $(git ls-files packages/kit/src))"
# What was taken in place of what is locked is said each time.
substitutes="${STILLPOINT_KIT_DIR:-$root/.cache/guest-kit}/substitutes"
if is_stamped guest-kit "$inputs" && [ -z "$(ls "$substitutes" 2>/dev/null)" ]; then exit 0; fi
is_stamped guest-kit "$inputs" || doing "guest kit: kernel and busybox from Debian's archive (about 108 MiB once)"
node --conditions=stillpoint-source packages/kit/src/cli.ts fetch --newest-if-gone </dev/null >&2
stamp guest-kit "$inputs"
finished "guest kit"
