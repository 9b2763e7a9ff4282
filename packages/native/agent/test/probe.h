/* What the parts of the probe share. */
#ifndef STILLPOINT_PROBE_H
#define STILLPOINT_PROBE_H

#include <stdbool.h>

/* Prints one line about a way that was tried. Returns 1 when it worked, else 0. */
int report(const char *what, bool worked);

/* Tries every way to the agent, its port `device` and the machine. Returns how many worked. */
int reach(const char *device);

#endif
