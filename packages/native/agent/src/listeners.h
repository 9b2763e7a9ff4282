/*
 * Noticing, at the very system call, that the workload has begun to listen: on TCP, multipath TCP, or a stream or
 * seqpacket socket of the Unix domain.
 *
 * The workload runs under a filter that hands its listen and bind calls to the agent. The agent
 * makes the call itself on a duplicate of the socket, tells the host, and only then lets the
 * workload's call return: the workload has executed nothing between being reachable and the report.
 * UDP has no listen: there a bind to an explicit port of an internet socket counts, and a bind to
 * port 0 does not, since that is what clients do. What becomes of a socket: open_listeners.h.
 *
 * Where the kernel lacks the mechanism, or where the workload needs such a filter of its own and listeners=scan is
 * configured, /proc/net is looked at every 20 ms instead. Listening through io_uring is found in that way only, or when
 * the main process has ended.
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
