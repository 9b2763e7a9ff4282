/* The file systems that a process expects to find. */
#ifndef STILLPOINT_MOUNTS_H
#define STILLPOINT_MOUNTS_H

#include <stdbool.h>

/*
 * Mounts /proc, /sys, /dev, /dev/pts, /dev/shm, /run and /tmp. A mount that fails is said
 * on the console and left out. Unless `privileged`, /sys is read-only (from a writable one, uid 0
 * could rebind the control port's driver and so bring its node back) and the kernel's usermode
 * helpers run without capabilities (uid 0 can name one in /proc/sys/kernel/core_pattern).
 */
void mounts_prepare(bool privileged);

#endif
