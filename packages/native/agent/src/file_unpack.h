/*
 * A tar archive on standard input as a directory. The archive is not trusted: no entry leaves the directory, none goes through
 * a link, whoever created it; problems are refused by name.
 */
#ifndef STILLPOINT_FILE_UNPACK_H
#define STILLPOINT_FILE_UNPACK_H

#include <stdbool.h>

/*
 * Creates the directory, completely or not at all, if nothing or an empty directory is there; with `merged`, adds the entries
 * to the existing one. Returns the exit code.
 */
int unpack_directory(const char *path, bool merged);

#endif
