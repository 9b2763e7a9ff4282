/*
 * Noticing, at the very system call, that the workload has begun to listen: on TCP, multipath TCP, or a stream or
 * seqpacket socket of the Unix domain.
 *
 * The workload runs under a filter that hands its listen and bind calls to the agent. The agent makes the call itself
 * on a duplicate of the socket, notifies the host, and only then lets the workload's call return: the workload has
 * executed nothing between being reachable and the report. UDP has no listen: there a bind of an internet socket to
 * an explicit port counts, and a bind to port 0 does not, since that is what clients do. open_listeners.h follows the
 * sockets.
 *
 * If the kernel lacks the mechanism, or the workload needs such a filter itself and listeners=scan is configured,
 * /proc/net is scanned every 20 ms instead. Only a scan, or the end of the main process, finds listeners of io_uring.
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

/* True if the workload was ever seen listening. Scans the TCP tables again. */
bool listeners_seen(void);

#endif
