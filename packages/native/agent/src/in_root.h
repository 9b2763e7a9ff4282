/*
 * Paths inside a folder that is to become the root: links are followed as they will lead once it is, and never out of it.
 * What lies there was written by others: files are opened only if they are files, and read up to a bound.
 */
#ifndef STILLPOINT_IN_ROOT_H
#define STILLPOINT_IN_ROOT_H

#include <stdint.h>
#include <sys/types.h>

/* Opens the folder at `path`, and makes what is missing of it. Returns a descriptor, or -1 with errno set. */
int in_root_folder(int root, const char *path);

/* The same; the folder itself, if it is made, gets that mode. */
int in_root_folder_of_mode(int root, const char *path, mode_t mode);

/* The most that is read of a file. */
enum { IN_ROOT_FILE_MAX = 4 << 20 };

/*
 * The text of the file at `path`, to be freed; "" where there is none. Null with errno set if it is no file (EINVAL), or above the
 * most that is read (EFBIG). `size` (may be null) becomes the bytes that it has.
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
