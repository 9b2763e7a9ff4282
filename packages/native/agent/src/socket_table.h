/* The sockets of /proc/net that are open to others. */
#ifndef STILLPOINT_SOCKET_TABLE_H
#define STILLPOINT_SOCKET_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum socket_domain { SOCKET_V4, SOCKET_V6, SOCKET_UNIX };

struct socket_entry {
	uint8_t address[16]; /* network order; the first 4 bytes in SOCKET_V4, nothing in SOCKET_UNIX */
	const char *path;    /* in SOCKET_UNIX, inside the line that was read */
	uint64_t inode;
	uint16_t port;
	enum socket_domain domain;
	bool udp;
};

/*
 * Reads one line of a table. Returns true for a listening socket with a name, or a UDP socket that is bound and not
 * connected.
 */
bool socket_table_line(const char *line, enum socket_domain domain, bool udp, struct socket_entry *entry);

/* Calls `found` for every such socket in the TCP and Unix tables, and with `udp` in the UDP tables too. */
void socket_table_read(bool udp, void (*found)(const struct socket_entry *entry));

#endif
