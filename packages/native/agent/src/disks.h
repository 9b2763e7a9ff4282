/* The machine's disks, as the kernel knows them. */
#ifndef STILLPOINT_DISKS_H
#define STILLPOINT_DISKS_H

enum { DISK_PATH_MAX = 64 };

/*
 * The node in /dev of the disk with that serial number, or at that path. A disk that was just attached to a slot has its
 * size only once the kernel has noticed it: waits for that, for a second at most. Returns 0 or an errno: ENODEV without
 * such a disk, ENOMEDIUM for a slot that stays empty.
 */
int disk_find(const char *name, char path[DISK_PATH_MAX]);

/* Removes the nodes of all disks from /dev: a mounted disk is accessed through its files only. */
void disks_hide(void);

#endif
