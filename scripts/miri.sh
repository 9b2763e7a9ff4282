#!/usr/bin/env bash
# Runs Miri over the tests that need no generated code and no kernel: guest memory, state, the control port's frames, the
# virtual devices. Says what each part covered. Needs a nightly compiler with Miri; without one it says so and ends well.
. "$(dirname "$0")/setup/progress.sh"

cd "$root"
if ! why="$(cargo +nightly miri setup 2>&1 </dev/null)"; then
  echo "skipped: Miri: $(head -n 1 <<<"$why") (rustup toolchain install nightly --component miri,rust-src)"
  exit 0
fi
export MIRIFLAGS="-Zmiri-disable-isolation" STILLPOINT_MIRI_CASES="${STILLPOINT_MIRI_CASES:-1}"
# For properties that say no number themselves.
export PROPTEST_CASES="$STILLPOINT_MIRI_CASES"
for part in memory state control devices; do
  log="$root/.cache/miri-$part.log"
  if ! cargo +nightly miri test --package stillpoint-vmm --lib "$part::" >"$log" 2>&1 </dev/null; then
    tail -n 40 "$log" >&2
    echo "Miri: $part: failed, see $log"
    exit 1
  fi
  echo "Miri: $part: $(sed -n 's/^test result: //p' "$log")"
done
