/* The sockets of /proc/net that are open to others. */
#ifndef STILLPOINT_SOCKET_TABLE_H
#define STILLPOINT_SOCKET_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct socket_entry {
	uint8_t address[16]; /* network order; the first 4 bytes unless v6 */
	uint64_t inode;
	uint16_t port;
	bool v6;
	bool udp;
};

/*
 * Reads one line of a table. Returns true for a listening TCP socket, or a UDP socket that is bound
 * and not connected.
 */
bool socket_table_line(const char *line, bool v6, bool udp, struct socket_entry *entry);

/* Calls `found` for every such socket in the TCP tables, and with `udp` in the UDP tables too. */
void socket_table_read(bool udp, void (*found)(const struct socket_entry *entry));

#endif
