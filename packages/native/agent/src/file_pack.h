/*
 * A directory as a tar archive on standard output: files, directories, links, pipes and devices with their modes, owners and
 * times; files with several names once, the further names as links. Sockets are left out, extended attributes too, and what
 * is mounted below is an empty directory. In no order, in constant memory.
 */
#ifndef STILLPOINT_FILE_PACK_H
#define STILLPOINT_FILE_PACK_H

/* Returns the exit code. */
int pack_directory(const char *path);

#endif
