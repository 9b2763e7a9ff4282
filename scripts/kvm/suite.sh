#!/usr/bin/env bash
# suite.sh [--unless-passed] [SUITES]
#
# Runs the suites of the engine kvm that need a stock kernel, inside a QEMU that emulates a processor with virtualization: no
# host's /dev/kvm is needed. `engine` is the engine alone (crates/kvm/examples/stock_kernel.rs), `addon` a guest of an amd64
# image through the addon (cases.ts); without SUITES, both. Says one line for each case and, last, how many passed, failed and
# were skipped. `--unless-passed` skips what has passed with the same addon, kit, cases, Node, kernels and QEMU, byte for byte.
. "$(dirname "$0")/../setup/progress.sh"
cd "$root"

unless_passed=''
if [ "${1:-}" = --unless-passed ]; then unless_passed=1 && shift; fi
# Which suites run.
suites="${1:-engine,addon}"

# Seconds that all of it may take; on two idle cores it takes two or three minutes.
patience="${STILLPOINT_KVM_SECONDS:-1200}"
# Kernels that the engine boots, each with all cases; bzImage unpacks itself in the guest, which takes longer.
kernels="${STILLPOINT_KVM_KERNELS:-vmlinux}"

# skip WHY [COUNT]
skip() {
  printf 'skipped: a stock kernel under emulated KVM: %s\n' "$1"
  printf '0 passed, 0 failed, %s skipped\n' "${2:-1}"
  exit 0
}
[ "$(uname -sm)" = "Linux x86_64" ] || skip "the guests are for Linux on x86-64, this is $(uname -sm)"
scripts/setup/qemu.sh --x86 --optional
command -v qemu-system-x86_64 >/dev/null || skip "no qemu-system-x86_64 here (sudo apt-get install qemu-system-x86)"
for tool in dpkg-deb xz zstd curl; do
  command -v "$tool" >/dev/null || skip "no $tool here (sudo apt-get install dpkg xz-utils zstd curl)"
done
guests="$(scripts/kvm/guests.sh)"

work="$(mktemp -d "$root/.cache/kvm-suite.XXXXXX")"
trap 'rm -rf "$work"' EXIT
suite="$work/root/suite"
mkdir -p "$suite"
: >"$suite/run"

# with_libraries PROGRAMS…: the libraries of programs, where they look for them.
with_libraries() {
  ldd "$@" | grep -o '/[^ :]*' | sort -u | while read -r library; do
    case "$library" in "$work"/*) continue ;; esac
    mkdir -p "$work/root$(dirname "$library")"
    cp -L "$library" "$work/root$library"
  done
}

case ",$suites," in *,engine,*)
  cargo build --workspace --example stock_kernel --locked --quiet
  strip -o "$suite/stock_kernel" "${CARGO_TARGET_DIR:-$root/target}/debug/examples/stock_kernel"
  with_libraries "$suite/stock_kernel"
  cp "$guests/inner.cpio" "$suite/"
  for kernel in ${kernels//,/ }; do
    cp "$guests/$kernel" "$suite/"
    echo "/suite/stock_kernel /suite/$kernel /suite/inner.cpio /tmp/$kernel" >>"$suite/run"
  done
  # What it has captured takes the memory of what comes after it.
  echo 'rm -rf /tmp/*' >>"$suite/run" ;;
esac
case ",$suites," in *,addon,*)
  make -s -C packages/native/agent amd64
  scripts/setup/addon.sh
  node --conditions=stillpoint-source --no-warnings=ExperimentalWarning scripts/kvm/build.ts "$suite/kit" >&2
  mkdir -p "$suite/packages/native"
  strip --strip-unneeded -o "$suite/packages/native/stillpoint.node" packages/native/stillpoint.node
  cp "$(command -v node)" "$suite/node"
  with_libraries "$suite/node" "$suite/packages/native/stillpoint.node"
  echo 'mkdir /tmp/kit && /suite/node --no-warnings /suite/kit/cases.js /suite/kit/guest.json /tmp/kit' >>"$suite/run" ;;
esac

# What the outer guest is made of, and how it is started.
options=(-M q35 -accel tcg,tb-size=512 -cpu EPYC -m 2048 -smp 1 -display none -nodefaults -no-reboot -serial stdio
  -append "console=ttyS0 quiet mitigations=off tsc=reliable no_timer_check panic=-1")
qemu="$(qemu-system-x86_64 --version | sed -n '1s/.*version \([0-9.]*\).*/\1/p')"
content="$({
  printf '%s\n' "$qemu" "${options[@]}"
  sha256sum <"$guests/bzImage"
  sha256sum <"$guests/outer.cpio"
  (cd "$work/root" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
} | sha256sum | cut -c1-16)"
passed_before="$root/.cache/kvm/passed/$content"
if [ -n "$unless_passed" ] && [ -s "$passed_before" ]; then
  skip "passed before with the same files and the same QEMU (make kvm runs it again)" "$(cat "$passed_before")"
fi

(cd "$work/root" && find . | LC_ALL=C sort | "$guests/busybox" cpio -o -H newc -R 0:0 2>/dev/null) >"$work/suite.cpio"
cat "$guests/outer.cpio" "$work/suite.cpio" >"$work/initramfs"
rm -rf "$work/root" "$work/suite.cpio"

log="$root/.cache/kvm-suite.log"
doing "a stock kernel under KVM under QEMU ($qemu); all that it says: ${log#"$root"/}"
timeout "$patience" qemu-system-x86_64 "${options[@]}" -kernel "$guests/bzImage" -initrd "$work/initramfs" \
  </dev/null 2>"$work/complaints" | sed -u 's/\r//g' | tee "$log" | grep --line-buffered -E '^(ok|not ok) ' || true

passed="$(grep -c '^ok ' "$log" || true)" failed="$(grep -c '^not ok ' "$log" || true)"
if ! grep -q '^outer: done' "$log"; then
  echo "not ok the suite comes to its end: it said last: $(tail -n 1 "$log")"
  tail -n 3 "$work/complaints" >&2
  failed=$((failed + 1))
fi
# Each suite has said something: one that ends before its first case fails.
for name in ${suites//,/ }; do
  case "$name" in engine) first=a-stock-kernel-boots ;; addon) first=an-amd64-image-boots ;; *) first="(no suite $name)" ;; esac
  grep -qE "^(not )?ok $first" "$log" || { echo "not ok the suite $name begins"; failed=$((failed + 1)); }
done
if [ "$failed" = 0 ] && [ "$passed" -gt 0 ]; then
  mkdir -p "$(dirname "$passed_before")"
  echo "$passed" >"$passed_before"
fi
printf '%s passed, %s failed, 0 skipped\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
