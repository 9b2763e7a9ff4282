/*
 * Paths inside a folder that will become the root: links are followed as they will lead then, and never out of it. Its content
 * is not trusted: only regular files are opened, and read up to a bound.
 */
#ifndef STILLPOINT_IN_ROOT_H
#define STILLPOINT_IN_ROOT_H

#include <stdint.h>
#include <sys/types.h>

/* Opens the folder at `path`, and creates missing parts. Returns a descriptor, or -1 with errno set. */
int in_root_folder(int root, const char *path);

/* The same; the folder itself, if it is made, gets that mode. */
int in_root_folder_of_mode(int root, const char *path, mode_t mode);

/* The most that is read of a file. */
enum { IN_ROOT_FILE_MAX = 4 << 20 };

/*
 * The text of the file at `path`, to be freed; "" if it is missing. Null with errno set if it is not a regular file (EINVAL) or
 * too long (EFBIG). `size` (may be null) becomes its size in bytes.
 */
char *in_root_read(int root, const char *path, uint64_t *size);

/* Replaces the file `name` of a folder by that text. Returns 0 or an errno. */
int in_root_write(int folder, const char *name, const char *text);

/* A path that leads to an open descriptor. */
struct descriptor_path {
	char bytes[32];
};
struct descriptor_path descriptor_path(int fd);

#endif
