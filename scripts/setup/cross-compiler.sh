#!/usr/bin/env bash
# Installs Debian's RISC-V cross compiler and C library, which the guest agent is built with.
. "$(dirname "$0")/progress.sh"

has_compiler() {
  command -v riscv64-linux-gnu-gcc >/dev/null &&
    printf '#include <stdio.h>\nint main(void) { return 0; }\n' |
    riscv64-linux-gnu-gcc -static -x c -o /dev/null - 2>/dev/null
}

if has_compiler; then exit 0; fi
doing "installing the RISC-V cross compiler (Debian packages, about 250 MB)"
apt_install gcc-riscv64-linux-gnu libc6-dev-riscv64-cross && has_compiler ||
  missing "the RISC-V cross compiler" "sudo apt-get update && sudo apt-get install -y gcc-riscv64-linux-gnu libc6-dev-riscv64-cross"
finished "$(riscv64-linux-gnu-gcc --version | head -n 1)"
