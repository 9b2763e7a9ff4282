/* Resolves paths inside the caller's root, whatever paths and links say. Errors are those of errno. */
#ifndef STILLPOINT_FILE_PLACE_H
#define STILLPOINT_FILE_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The place of an entry: its folder, open, and its name there. */
struct place {
	int folder;
	char name[NAME_MAX + 1];
};

/* Reports an error to the host; returns the exit code. */
int refuse(int error, const char *what);
/* The same of the error that there was just now. */
int refused(const char *what);

int open_root(void);
/* Opens the target of a path in a root. Returns a descriptor or -1. */
int open_in(int root, const char *path, int flags);

/* Finds the place of a path; the last name is not checked. Returns 0 or an errno. */
int find_place(const char *path, struct place *place);
/* The same for the target of a path, links followed: the entry itself need not exist. */
int find_target(const char *path, struct place *place);

bool write_whole(int fd, const uint8_t *bytes, size_t length);

/* Removes an entry and everything below it. Returns 0 or an errno. */
int remove_tree(int folder, const char *name);

#endif
