/* Kernel modules that the configuration names. */
#ifndef STILLPOINT_MODULES_H
#define STILLPOINT_MODULES_H

/* Loads each path in order. One that fails is said on the console and left out; the rest go on. */
void modules_load(char *const *paths);

#endif
