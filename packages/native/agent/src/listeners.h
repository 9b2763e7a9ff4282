/*
 * Noticing, at the very system call, that the workload has begun to listen.
 *
 * The workload runs under a filter that hands its listen and bind calls to the agent. The agent
 * makes the call itself on a duplicate of the socket, tells the host, and only then lets the
 * workload's call return: the workload has executed nothing between being reachable and the report.
 * UDP has no listen: there a bind to an explicit port of an internet socket counts, and a bind to
 * port 0 does not, since that is what clients do.
 *
 * Where the kernel lacks the mechanism, /proc/net is scanned instead.
 */
#ifndef STILLPOINT_LISTENERS_H
#define STILLPOINT_LISTENERS_H

#include <stdbool.h>

#include "config.h"

/*
 * Starts to notice. `filter` is the workload's descriptor, -1 where the kernel has none: then, or on
 * request, /proc/net is scanned. Returns 0 or an errno.
 */
int listeners_start(enum listener_mode mode, int filter);

/* Scanning costs the guest its calm: not while it is to be still. */
void listeners_scan_pause(bool paused);

/* True when the workload has ever been seen listening. Looks once more at the TCP tables. */
bool listeners_seen(void);

#endif
