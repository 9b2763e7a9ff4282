/*
 * Disks that are mounted into a root: volumes, and the one for writes over an image.
 */
#ifndef STILLPOINT_VOLUMES_H
#define STILLPOINT_VOLUMES_H

#include <stdbool.h>

#include "root_failure.h"

/*
 * Mounts each volume, `rw|ro TYPE DEVICE PATH`, in the given order, below the future root. An empty writable ext4 volume
 * is formatted first, and gets owner and mode of the folder that it covers. Returns false with `*failure` set; mounts made
 * by then go with the root.
 */
bool volumes_mount(int root, char *const *volumes, struct root_failure *failure);

/* Mounts the ext4 disk `device` to be written at a folder of the initial RAM file system; an empty one is formatted. */
bool volume_mount_scratch(const char *device, const char *folder, struct root_failure *failure);

/* Takes the volumes that can be written out of the root again, so that their file systems are closed. */
void volumes_close(void);

#endif
