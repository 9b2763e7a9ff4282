/* Where files stand: inside the root of whoever asks, whatever paths and links say. Errors are those of errno. */
#ifndef STILLPOINT_FILE_PLACE_H
#define STILLPOINT_FILE_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where an entry stands: the folder above it, open, and its name there. */
struct place {
	int folder;
	char name[NAME_MAX + 1];
};

/* Tells the host what is wrong; the exit code. */
int refuse(int error, const char *what);
/* The same of the error that there was just now. */
int refused(const char *what);

int open_root(void);
/* Opens what a path leads to in a root. Returns a descriptor or -1. */
int open_in(int root, const char *path, int flags);

/* Finds the place of a path; the last name is not looked at. Returns 0 or an errno. */
int find_place(const char *path, struct place *place);
/* The same for what a path leads to, links followed: the entry itself need not be there. */
int find_target(const char *path, struct place *place);

bool write_whole(int fd, const uint8_t *bytes, size_t length);

/* Removes an entry and everything below it. Returns 0 or an errno. */
int remove_tree(int folder, const char *name);

#endif
