#!/usr/bin/env bash
# Builds the guest agent: a static RISC-V executable, PID 1 of the guest.
. "$(dirname "$0")/progress.sh"

make -C "$root/packages/native/agent" --no-print-directory -q 2>/dev/null && exit 0
doing "building the guest agent"
make -C "$root/packages/native/agent" --no-print-directory -s >&2
finished "guest agent"
