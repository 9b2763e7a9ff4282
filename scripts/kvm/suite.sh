#!/usr/bin/env bash
# Runs the suite of crates/kvm over a stock kernel, inside a QEMU that emulates a processor with virtualization: no host's
# /dev/kvm is needed. Says one line for each case and, last, how many passed, failed and were skipped.
. "$(dirname "$0")/../setup/progress.sh"
cd "$root"

# Seconds that all of it may take; on two idle cores it takes one or two minutes.
patience="${STILLPOINT_KVM_SECONDS:-1200}"
# Kernels to boot, each with all cases; bzImage unpacks itself in the guest, which takes longer.
kernels="${STILLPOINT_KVM_KERNELS:-vmlinux}"

skip() {
  printf 'skipped: a stock kernel under emulated KVM: %s\n' "$1"
  printf '0 passed, 0 failed, 1 skipped\n'
  exit 0
}
[ "$(uname -sm)" = "Linux x86_64" ] || skip "the guests are for Linux on x86-64, this is $(uname -sm)"
scripts/setup/qemu.sh --x86 --optional
command -v qemu-system-x86_64 >/dev/null || skip "no qemu-system-x86_64 here (sudo apt-get install qemu-system-x86)"
guests="$(scripts/kvm/guests.sh)"

cargo build --workspace --example stock_kernel --locked --quiet
program="${CARGO_TARGET_DIR:-$root/target}/debug/examples/stock_kernel"
work="$(mktemp -d "$root/.cache/kvm-suite.XXXXXX")"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/root/suite"
strip -o "$work/root/suite/stock_kernel" "$program"
cp "$guests/inner.cpio" "$work/root/suite/"
for kernel in ${kernels//,/ }; do cp "$guests/$kernel" "$work/root/suite/"; done
# The program's libraries, where it looks for them.
ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
  mkdir -p "$work/root$(dirname "$library")"
  cp -L "$library" "$work/root$library"
done
(cd "$work/root" && find . | LC_ALL=C sort | "$guests/busybox" cpio -o -H newc -R 0:0 2>/dev/null) >"$work/suite.cpio"
cat "$guests/outer.cpio" "$work/suite.cpio" >"$work/initramfs"

log="$root/.cache/kvm-suite.log"
doing "a stock kernel under KVM under QEMU ($(qemu-system-x86_64 --version | sed -n '1s/.*version \([0-9.]*\).*/\1/p')); all that it says: ${log#"$root"/}"
timeout "$patience" qemu-system-x86_64 -M q35 -accel tcg,tb-size=512 -cpu EPYC -m 1536 -smp 1 \
  -display none -nodefaults -no-reboot -serial stdio -kernel "$guests/bzImage" -initrd "$work/initramfs" \
  -append "console=ttyS0 quiet mitigations=off tsc=reliable panic=-1 suite.kernels=$kernels" \
  </dev/null 2>"$work/complaints" | sed -u 's/\r//g' | tee "$log" | grep --line-buffered -E '^(ok|not ok) ' || true

passed="$(grep -c '^ok ' "$log" || true)" failed="$(grep -c '^not ok ' "$log" || true)"
if ! grep -q '^outer: done' "$log"; then
  echo "not ok the suite comes to its end: it said last: $(tail -n 1 "$log")"
  tail -n 3 "$work/complaints" >&2
  failed=$((failed + 1))
fi
printf '%s passed, %s failed, 0 skipped\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
