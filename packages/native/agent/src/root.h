/*
 * The root of the workload: the file system of an image with a layer above it for writes.
 *
 *   initial RAM file system      /stillpoint/image (EROFS, read-only)   /stillpoint/over (memory, or a scratch disk)
 *                                          └────────── overlay ───────────┘
 *   becomes /                    /stillpoint/root, with /proc /sys /dev /run/stillpoint and the volumes moved or mounted in
 *
 * The agent enters it with everything that it starts. The contents of the initial RAM file system are removed: nothing leads
 * back.
 */
#ifndef STILLPOINT_ROOT_H
#define STILLPOINT_ROOT_H

#include <stdbool.h>

#include "account.h"
#include "config.h"
#include "root_failure.h"

/*
 * Goes into the root that `config` names, and finds out there who the workload runs as. Without one only the latter is done,
 * in the initial RAM file system. Returns false with `*failure` set; then everything is as before.
 */
bool root_enter(const struct config *config, struct account *account, struct root_failure *failure);

/*
 * Ends every process and closes the file systems of the root, before the machine is switched off. In the initial RAM file
 * system there is nothing to close, and nothing happens.
 */
void root_close(void);

/* Whether the agent is in a root of an image. */
bool root_entered(void);

/*
 * Sets the content of /etc/hostname or /etc/machine-id in an image's root, without a newline; kept for a root that is
 * entered later, too. They are files of the agent's, so a full or read-only root does not prevent the change. Returns 0 or
 * an errno.
 */
int root_set_name(const char *file, const char *text);

#endif
