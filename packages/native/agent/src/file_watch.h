/*
 * Changes below a path, told on standard output as they come:
 *
 *   change   kind type move path NUL
 *   kind     b the watch has begun   c created   m content changed   w closed by who wrote it   a mode, owner or times
 *            r removed   f moved from here   t moved to here   l changes were lost: too many at once
 *   type     d a directory, or -
 *   move     what the two ends of a move have in common, or 0
 *   path     below the one that is watched; empty for that one
 *
 * Ends when the watched path is gone.
 */
#ifndef STILLPOINT_FILE_WATCH_H
#define STILLPOINT_FILE_WATCH_H

#include <stdbool.h>

/* With `all` also what lies in directories below. Returns the exit code. */
int watch_path(const char *path, bool all);

#endif
