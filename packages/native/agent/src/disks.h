/* The machine's disks, as the kernel knows them. */
#ifndef STILLPOINT_DISKS_H
#define STILLPOINT_DISKS_H

enum { DISK_PATH_MAX = 64 };

/*
 * The node in /dev of the disk with that serial number, or at that path. A disk that was put into an empty slot a moment
 * ago has its size only once the kernel has seen it: that is waited for, a second at most. Returns 0 or an errno: ENODEV
 * without such a disk, ENOMEDIUM for a slot that stays empty.
 */
int disk_find(const char *name, char path[DISK_PATH_MAX]);

/* Takes the nodes of all disks out of /dev: what is mounted is reached through its files alone. */
void disks_hide(void);

#endif
