#!/usr/bin/env bash
# Runs every fuzz target for STILLPOINT_FUZZ_SECONDS each (600), and says what each one covered. Needs a nightly compiler;
# without one it says so and ends well. A crash is kept under packages/native/fuzz/artifacts/.
. "$(dirname "$0")/setup/progress.sh"

if ! cargo +nightly --version >/dev/null 2>&1; then
  echo "skipped: fuzzing: no nightly compiler (rustup toolchain install nightly)"
  exit 0
fi
if [ ! -x "$tools/cargo/bin/cargo-fuzz" ]; then
  doing "installing cargo-fuzz"
  cargo install --quiet --root "$tools/cargo" cargo-fuzz
fi
export PATH="$tools/cargo/bin:$PATH"
cd "$root/packages/native/fuzz"
seconds="${STILLPOINT_FUZZ_SECONDS:-600}"
for target in $(cargo +nightly fuzz list --fuzz-dir .); do
  log="$root/.cache/fuzz-$target.log"
  if cargo +nightly fuzz run --fuzz-dir . "$target" -- -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=20 >"$log" 2>&1 </dev/null; then
    echo "fuzz $target: $(find "corpus/$target" -type f | wc -l) inputs kept; $(grep -E '^#[0-9]+.*DONE' "$log" | tail -n 1)"
  else
    tail -n 30 "$log" >&2
    echo "fuzz $target: failed, see $log"
    exit 1
  fi
done
