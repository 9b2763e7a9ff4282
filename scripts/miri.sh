#!/usr/bin/env bash
# Runs Miri over the tests that need no generated code and no kernel, and says at the end what was covered: of each module how many
# tests ran and were ignored, of each crate that is left out why. Minutes on a machine that does nothing else. Needs a nightly
# compiler with Miri; without one it says so and ends well.
. "$(dirname "$0")/setup/progress.sh"

# What runs, by the modules of the core: they are where guest memory is shared, pointed into and given back.
modules=(control devices memory state)
declare -A left_out=(
  [binding]="its unsafe code is that of napi, and needs a Node.js around it"
  [engines]="is a list"
  [host]="has no unsafe code; its threads hand over under shuttle (crates/host/tests/handover.rs)"
  [images]="has no unsafe code"
  [kvm]="asks /dev/kvm"
  [net]="waits for sockets of the host's"
  [soft]="executes what it generates, from memory that it maps twice"
)

cd "$root"
for crate in packages/native/crates/*/; do
  name="$(basename "$crate")"
  [ "$name" = vmm ] || [ -n "${left_out[$name]:-}" ] || {
    echo "Miri: crate $name is neither run nor left out with a reason, see scripts/miri.sh"
    exit 1
  }
done
if ! why="$(cargo +nightly miri setup 2>&1 </dev/null)"; then
  echo "skipped: Miri: $(head -n 1 <<<"$why") (rustup toolchain install nightly --component miri,rust-src)"
  exit 0
fi
export MIRIFLAGS="-Zmiri-disable-isolation" STILLPOINT_MIRI_CASES="${STILLPOINT_MIRI_CASES:-1}"
# For properties that say no number themselves.
export PROPTEST_CASES="$STILLPOINT_MIRI_CASES"
mkdir -p "$root/.cache"
log="$root/.cache/miri.log"
doing "Miri reads the core's tests one by one: .cache/miri.log"
# One program for all: to make it ready takes as long as many of its tests.
if ! cargo +nightly miri test --locked --package stillpoint-vmm --lib -- --test-threads=1 "${modules[@]/%/::}" >"$log" 2>&1 </dev/null; then
  tail -n 40 "$log" >&2
  echo "Miri: failed, see .cache/miri.log"
  exit 1
fi
for module in "${modules[@]}"; do
  tests="$(grep -E "^test $module::" "$log" || true)"
  ran="$(grep -c ' ok$' <<<"$tests" || true)"
  [ "$ran" -gt 0 ] || { echo "Miri: no test of $module ran" && exit 1; }
  echo "Miri: vmm, $module: $ran tests ran, $(grep -c ' ignored' <<<"$tests" || true) ignored"
done
sed -n 's/^test \(.*\) \.\.\. ignored, \(.*\)$/Miri: ignored: \1: \2/p' "$log"
for name in "${!left_out[@]}"; do echo "Miri: left out: $name ${left_out[$name]}"; done | sort
echo "Miri: left out: the other modules of vmm, which have no unsafe code, ask the kernel (random), or map files (disks, snapshot)"
echo "Miri: $(sed -n 's/^test result: //p' "$log"), each property on $STILLPOINT_MIRI_CASES case(s)"
