#!/usr/bin/env bash
# Fetches, verifies and caches the guest kit: Debian's riscv64 kernel and static busybox.
. "$(dirname "$0")/progress.sh"
cd "$root"

lock=packages/kit/guest-kit.lock.json
inputs="$(digest_of "$lock" $(git ls-files packages/kit/src))"
if is_stamped guest-kit "$inputs"; then exit 0; fi
doing "guest kit: kernel and busybox from Debian's archive (about 108 MiB once)"
node --conditions=source packages/kit/src/cli.ts fetch </dev/null >&2
stamp guest-kit "$inputs"
finished "guest kit"
