/* Kernel modules that the configuration names. */
#ifndef STILLPOINT_MODULES_H
#define STILLPOINT_MODULES_H

/* Loads each path in order. One that fails is said on the console and left out; the rest go on. Files of the kit's are removed: the memory is the guest's. */
void modules_load(char *const *paths);

#endif
