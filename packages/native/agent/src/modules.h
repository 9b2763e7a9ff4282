/* Kernel modules that the configuration names. */
#ifndef STILLPOINT_MODULES_H
#define STILLPOINT_MODULES_H

/*
 * Loads each path in order. A failure is reported on the console, and the rest is loaded. The kit's files are removed: their
 * memory is the guest's.
 */
void modules_load(char *const *paths);

#endif
