#!/usr/bin/env bash
# Runs every fuzz target for STILLPOINT_FUZZ_SECONDS each (600), and reports the coverage of each. Needs a nightly compiler
# and cargo-fuzz, which is installed beside the other tools; without them it says so and succeeds. Findings are kept under
# packages/native/fuzz/artifacts/, and inputs that increased coverage under corpus/, where the next run begins.
. "$(dirname "$0")/setup/progress.sh"

skipped() {
  echo "skipped: fuzzing: $1"
  exit 0
}
cargo +nightly --version >/dev/null 2>&1 || skipped "no nightly compiler (rustup toolchain install nightly)"
# The fuzzer itself is built of C++.
command -v c++ >/dev/null || skipped "no C++ compiler (apt-get install build-essential)"
mkdir -p "$root/.cache"
if [ ! -x "$tools/cargo/bin/cargo-fuzz" ]; then
  doing "installing cargo-fuzz"
  log="$root/.cache/cargo-fuzz.log"
  cargo install --quiet --locked --root "$tools/cargo" cargo-fuzz >"$log" 2>&1 </dev/null ||
    skipped "cargo-fuzz cannot be installed: $(grep -m 1 '^error' "$log" || tail -n 1 "$log") (cargo install cargo-fuzz)"
fi
export PATH="$tools/cargo/bin:$PATH"
cd "$root/packages/native/fuzz"
seconds="${STILLPOINT_FUZZ_SECONDS:-600}"
log="$root/.cache/fuzz-build.log"
doing "building the fuzz targets: .cache/fuzz-build.log"
cargo +nightly fuzz build --fuzz-dir . >"$log" 2>&1 </dev/null || { tail -n 30 "$log" >&2 && echo "fuzzing: not built, see $log" && exit 1; }
targets="$(cargo +nightly fuzz list --fuzz-dir .)"
for target in $targets; do
  log="$root/.cache/fuzz-$target.log"
  doing "fuzzing $target for $seconds s"
  if cargo +nightly fuzz run --fuzz-dir . "$target" -- -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=20 >"$log" 2>&1 </dev/null; then
    ended="$(grep -E '^#[0-9]+.*DONE' "$log" | tail -n 1)"
    echo "fuzz $target: $(sed -E 's/^#([0-9]+).* cov: ([0-9]+) .*/\1 inputs in '"$seconds"' s, \2 places of the code reached/' <<<"$ended"), $(find "corpus/$target" -type f | wc -l) inputs kept"
  else
    tail -n 30 "$log" >&2
    echo "fuzz $target: failed, see $log"
    exit 1
  fi
done
echo "fuzzing: $(wc -w <<<"$targets") targets, none failed"
