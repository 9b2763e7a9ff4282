/*
 * A tar archive on standard input as a directory. The archive may be anybody's: no entry lies outside the directory, none goes
 * through a link, whatever stood there or came before it; what is wrong with it is refused by name.
 */
#ifndef STILLPOINT_FILE_UNPACK_H
#define STILLPOINT_FILE_UNPACK_H

#include <stdbool.h>

/*
 * Makes the directory, whole or not at all, where nothing or an empty directory is; with `merged`, entry by entry into one
 * that is there. Returns the exit code.
 */
int unpack_directory(const char *path, bool merged);

#endif
