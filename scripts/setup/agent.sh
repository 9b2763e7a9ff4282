#!/usr/bin/env bash
# Builds the guest agent: a static executable, PID 1 of the guest, for RISC-V, and for x86-64 where this host has a compiler
# for it.
. "$(dirname "$0")/progress.sh"

agent=(make -C "$root/packages/native/agent" --no-print-directory)
compiler="${AMD64_CC:-$([ "$(uname -m)" = x86_64 ] && echo cc || echo x86_64-linux-gnu-gcc)}"
targets=(all)
if printf 'int main(void) { return 0; }\n' | "$compiler" -static -x c -o /dev/null - 2>/dev/null; then targets+=(amd64); fi

"${agent[@]}" -q "${targets[@]}" 2>/dev/null && exit 0
doing "building the guest agent"
"${agent[@]}" -s "${targets[@]}" >&2
finished "guest agent ($([ "${#targets[@]}" = 2 ] && echo riscv64 and amd64 || echo "riscv64; without a $compiler that links statically, none for amd64"))"
