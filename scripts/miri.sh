#!/usr/bin/env bash
# Runs Miri over the tests that need no generated code and no kernel: guest memory, state, the control port's frames, the
# virtual devices. Needs a nightly compiler with Miri; without one it says so and ends well.
. "$(dirname "$0")/setup/progress.sh"

if ! cargo +nightly miri --version >/dev/null 2>&1; then
  echo "skipped: Miri: not there (rustup toolchain install nightly --component miri)"
  exit 0
fi
cd "$root"
export MIRIFLAGS="-Zmiri-disable-isolation" PROPTEST_CASES="${STILLPOINT_MIRI_CASES:-4}"
for part in memory state control devices; do
  cargo +nightly miri test --quiet --package stillpoint-vmm --lib "$part::" </dev/null
  echo "Miri: the tests of $part"
done
