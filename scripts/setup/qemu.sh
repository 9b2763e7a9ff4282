#!/usr/bin/env bash
# Installs Debian's QEMU, the peer of the benchmarks and of the differential tests. `--optional`: its absence is said,
# and what needs it is skipped by name.
. "$(dirname "$0")/progress.sh"

has_qemu() { command -v qemu-system-riscv64 && command -v qemu-riscv64 && command -v qemu-img; } >/dev/null

if has_qemu; then exit 0; fi
if [ "${1-}" = --optional ] && [ -f "$stamps/qemu-refused" ]; then exit 0; fi
doing "installing QEMU for RISC-V (Debian packages qemu-system-misc, qemu-user, qemu-utils)"
if apt_install qemu-system-misc qemu-user qemu-utils && has_qemu; then
  finished "$(qemu-system-riscv64 --version | head -n 1)"
elif [ "${1-}" = --optional ]; then
  touch "$stamps/qemu-refused"
  finished "no QEMU here: what compares with it will say skipped (sudo apt-get install -y qemu-system-misc qemu-user qemu-utils)"
else
  missing "qemu-system-riscv64, qemu-riscv64 and qemu-img" "sudo apt-get update && sudo apt-get install -y qemu-system-misc qemu-user qemu-utils"
fi
