/*
 * The program that serves the host's file operations: one process for each, in the root and with the rights of the host's
 * commands, its streams theirs. Paths are resolved inside that root, whatever links say. What it works on was made by others:
 * only files are read and written, never devices, sockets or pipes.
 *
 *   stat PATH, lstat PATH       one record
 *   list PATH                   a record for each entry
 *   read PATH OFFSET            the file from there on, on standard output
 *   write PATH MODE             what comes on standard input becomes the file, whole or not at all
 *   mkdir PATH MODE all|one     with `all` also what is missing above it, and one that is there is well
 *   remove PATH all|one         with `all` also everything below it
 *   rename FROM TO, chmod PATH MODE
 *   pack PATH                   the directory as a tar archive on standard output (file_pack.h)
 *   unpack PATH new|merged      what comes on standard input becomes the directory, or part of it (file_unpack.h)
 *   watch PATH all|one          changes below it, on standard output, until it has gone (file_watch.h)
 *
 *   record   kind mode uid gid size seconds.nanoseconds name NUL     numbers decimal, mode octal, kind of `fdlcbps`
 *
 * Ends with 0; or with 1 and `errno what` on standard error, where 0 is what is wrong with an archive.
 */
#ifndef STILLPOINT_FILE_SERVICE_H
#define STILLPOINT_FILE_SERVICE_H

/* The name that it is started by. */
#define FILE_SERVICE_NAME "stillpoint-files"

/* Returns the exit code. */
int file_service(int argc, char **argv);

#endif
