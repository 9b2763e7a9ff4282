/* The file systems that a process expects to find, and how much of the memory each may take. */
#ifndef STILLPOINT_MOUNTS_H
#define STILLPOINT_MOUNTS_H

#include <stdbool.h>

/*
 * Mounts /proc, /sys, /dev, /dev/pts, /dev/shm and /run/stillpoint; /run and /tmp are folders of the root. A failed
 * mount is reported on the console and left out. Unless `privileged`, /sys is read-only: through a writable one, uid 0
 * could rebind the control port's driver and so bring its node back.
 *
 * All of them are in memory. The root may grow by half of the memory that is free now, and /dev/shm to a quarter, so
 * that full file systems leave the rest to programs.
 */
void mounts_prepare(bool privileged);

/*
 * The agent's own folder, which other processes see as /run/stillpoint and cannot change or fill; -1 if it does not
 * exist.
 */
int mounts_own_folder(void);

/* Enlarges a full root by one small file. Returns 0 or an errno. */
int mounts_make_room(void);

/* Covers a path with itself, read-only. Returns 0 or an errno. */
int mounts_protect(const char *path);

#endif
