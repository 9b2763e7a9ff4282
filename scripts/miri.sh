#!/usr/bin/env bash
# Runs Miri over the tests that need no generated code and no kernel, and reports the coverage at the end: for each part how many
# tests ran and were ignored, and for each part that is left out the reason. Takes minutes on an idle host. Needs a nightly
# compiler with Miri; without one it says so and succeeds. Fails if a crate, or a part of the core with unsafe code, is neither
# run nor left out.
. "$(dirname "$0")/setup/progress.sh"

vmm=packages/native/crates/vmm/src
# The parts of the core that run, by module: where guest memory is shared, pointed into and released.
declare -A runs=(
  [conformance]=conformance::tests::a_guest_and_its_fork
  [control]=control::
  [devices]=devices::
  [memory]=memory::
  [random]=random::
  [snapshot]=snapshot::tests::layers::a_page
  [state]=state::
)
declare -A left_out=(
  [binding]="its unsafe code is that of napi, and needs a Node.js around it"
  [engines]="is a list"
  [host]="has no unsafe code; its threads hand over under shuttle (crates/host/tests/handover.rs)"
  [images]="has no unsafe code but in tests, which ask the kernel"
  [kvm]="asks /dev/kvm"
  [net]="waits for sockets of the host's"
  [soft]="executes what it generates, from memory that it maps twice"
  # Parts of the core.
  [vmm/conformance]="its other tests compare whole machines by digests of a MiB each: the first had not ended after five minutes"
  [vmm/disks]="asks the kernel for the holes of files, and opens them by O_NONBLOCK, which Miri does not know"
  [vmm/snapshot]="its other tests hash what they write and read: none that was tried had ended after five minutes"
)

cd "$root"
has_unsafe() {
  grep -rqE --include=*.rs '\bunsafe (\{|impl|fn|trait|extern)' "$1"
}
fail() {
  echo "Miri: $1, see scripts/miri.sh" >&2
  exit 1
}
for crate in packages/native/crates/*/; do
  name="$(basename "$crate")"
  [ "$name" = vmm ] && continue
  reason="${left_out[$name]:-}"
  [ -n "$reason" ] || fail "crate $name is neither run nor left out with a reason"
  [[ "$reason" != "has no unsafe code"* ]] || ! has_unsafe "$crate/src" || fail "crate $name has unsafe code"
done
safe=()
for part in "$vmm"/*/ "$vmm"/*.rs; do
  name="$(basename "$part" .rs)"
  if ! has_unsafe "$part"; then
    [ -n "${runs[$name]:-}" ] || safe+=("$name")
  elif [ -z "${runs[$name]:-}${left_out[vmm/$name]:-}" ]; then
    fail "vmm/$name has unsafe code and is neither run nor left out with a reason"
  fi
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
if ! cargo +nightly miri test --locked --package stillpoint-vmm --lib -- --test-threads=1 "${runs[@]}" >"$log" 2>"$log.errors" </dev/null; then
  tail -n 40 "$log" "$log.errors" >&2
  echo "Miri: failed, see .cache/miri.log"
  exit 1
fi
while read -r module; do
  tests="$(grep -E "^test ${runs[$module]}" "$log" || true)"
  ran="$(grep -c ' ok$' <<<"$tests" || true)"
  [ "$ran" -gt 0 ] || fail "no test of $module ran"
  echo "Miri: vmm, $module: $ran tests ran, $(grep -c ' ignored' <<<"$tests" || true) ignored"
done < <(printf '%s\n' "${!runs[@]}" | sort)
sed -n 's/^test \(.*\) \.\.\. ignored, \(.*\)$/Miri: ignored: \1: \2/p' "$log"
for name in "${!left_out[@]}"; do echo "Miri: left out: $name ${left_out[$name]}"; done | sort
echo "Miri: left out, as they have no unsafe code, of vmm: ${safe[*]}"
echo "Miri: $(sed -n 's/^test result: //p' "$log"), each property on $STILLPOINT_MIRI_CASES case(s)"
