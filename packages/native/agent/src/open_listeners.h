/*
 * The names under which the workload is reachable: level, not edge.
 *
 * A name is told as bound when the first socket has it and as closed when the last one has gone, so the two alternate for
 * each name. A socket goes with the last descriptor of it, whoever holds that: a process that ends or executes, a child
 * that inherited it, another that it was passed to; or when it is shut down.
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
 * A socket listens now. `fd` is a descriptor of it, which the caller closes; -1 if there is none. Its end is noticed by
 * itself with one, and otherwise by the socket's absence from a later look.
 * Returns false where the kernel does not tell its end, and somebody has to look.
 */
bool open_listeners_add(int fd, uint64_t inode, const struct listener_name *name);

/* A look at all sockets begins: every one that is added until it ends is there. */
void open_listeners_look_begins(void);
/* Those that were not added since are gone. */
void open_listeners_look_ends(void);

/* Tells of every socket that has gone. To be called before the end of a process is told. */
void open_listeners_drain(void);

/* True when any socket ever listened. */
bool open_listeners_ever(void);

#endif
