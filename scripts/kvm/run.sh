#!/usr/bin/env bash
# Everything that is checked of the engine kvm: on this host's /dev/kvm what that can run, and a stock kernel where KVM is
# emulated. The last line says how many passed, failed and were skipped.
. "$(dirname "$0")/../setup/progress.sh"
cd "$root"
log="$root/.cache/kvm-host.log"

# total WORD FILE: the sum of the numbers before WORD in a file's counts.
total() { grep -E '(^test result|^[0-9]+ passed)' "$2" | grep -oE "[0-9]+ $1" | awk '{ sum += $1 } END { print sum + 0 }'; }

doing "guests without a kernel and the laws of engines, on this host's /dev/kvm"
cargo test --workspace --locked --test guests --test laws -- --nocapture >"$log" 2>&1 || true
grep -E '^test .* FAILED$' "$log" || true
passed="$(total passed "$log")" failed="$(total failed "$log")" skipped=0
if why="$(grep -m 1 '^skipped: engine kvm cannot be used here' "$log")"; then
  # Each of these tests has said so and tried nothing.
  echo "$why"
  skipped="$passed" passed=0
fi
if [ "$((passed + failed + skipped))" = 0 ]; then
  tail -n 20 "$log" >&2
  failed=1
fi

suite="$root/.cache/kvm-suite.counts"
scripts/kvm/suite.sh | tee "$suite" | grep -vE '^[0-9]+ passed' || true
if grep -qE '^[0-9]+ passed' "$suite"; then
  passed=$((passed + $(total passed "$suite"))) failed=$((failed + $(total failed "$suite")))
  skipped=$((skipped + $(total skipped "$suite")))
else
  failed=$((failed + 1))
fi
printf '\n%s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
