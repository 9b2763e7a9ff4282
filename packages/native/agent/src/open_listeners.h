/*
 * The names under which the workload is reachable: level, not edge.
 *
 * A name is reported as bound when its first socket listens and as closed when the last one is gone, so the two alternate
 * for each name. A socket is gone with its last descriptor, in any process (one that ends or executes, a child that
 * inherited it, another that it was passed to), or when it is shut down.
 */
#ifndef STILLPOINT_OPEN_LISTENERS_H
#define STILLPOINT_OPEN_LISTENERS_H

#include <stdbool.h>
#include <stdint.h>

/* Room for an address, or for a name of the Unix domain and a leading '@'. */
enum { LISTENER_TEXT_MAX = 112 };

/* `protocol` is a number of the internet protocol's, or 0 in the Unix domain, which has no ports. */
struct listener_name {
	uint8_t protocol;
	uint16_t port;
	char text[LISTENER_TEXT_MAX];
};

/* Before the workload runs: what its end is noticed by is limited for each user, and the workload is the same user. */
void open_listeners_init(void);

/*
 * A socket listens now. `fd` is a descriptor of it, which the caller closes; -1 if there is none. With one, its end is
 * noticed; otherwise its absence from a later scan. Returns false if the kernel does not report its end, so that scans
 * are needed.
 */
bool open_listeners_add(int fd, uint64_t inode, const struct listener_name *name);

/* A scan of all sockets begins: every socket that is added before the scan ends still exists. */
void open_listeners_look_begins(void);
/* Those that were not added since are gone. */
void open_listeners_look_ends(void);

/* Reports every socket that is gone. Call it before reporting the end of a process. */
void open_listeners_drain(void);

/* True when any socket ever listened. */
bool open_listeners_ever(void);

#endif
