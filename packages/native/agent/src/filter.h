/* The system call filter of programs that the agent starts. */
#ifndef STILLPOINT_FILTER_H
#define STILLPOINT_FILTER_H

#include <stdbool.h>

/*
 * Installs the filter for this process and all that it will start; the caller still has SYS_ADMIN.
 *
 * confined  what lets any process of uid 0 change PID 1 (its limits, its place among what runs) or have the kernel start
 *           a program outside of every control group (request_key) is refused with EPERM; io_uring, whose listeners nobody
 *           is told of, is not there; nor are leases to write, for which everybody waits who opens or executes the file
 * notify    listen, bind and a further filter that notifies are handed to whoever reads `*listener`, which is -1 where the
 *           kernel has no such thing
 *
 * Returns 0 or an errno.
 */
int filter_install(bool confined, bool notify, int *listener);

#endif
