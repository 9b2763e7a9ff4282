#include "socket_table.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATE_UNCONNECTED = 0x07, STATE_LISTEN = 0x0a };

/* Of a socket of the Unix domain: it accepts connections. */
enum { FLAG_ACCEPTING = 0x10000 };

/* Addresses are printed as 32-bit words in the machine's own byte order. */
static const char *parse_address(const char *at, bool v6, uint8_t bytes[16])
{
	for (int word = 0; word < (v6 ? 4 : 1); word++, at += 8) {
		char digits[9] = { 0 };
		if (strlen(at) < 8)
			return NULL;
		memcpy(digits, at, 8);
		char *end;
		uint32_t value = (uint32_t)strtoul(digits, &end, 16);
		if (*end)
			return NULL;
		memcpy(bytes + 4 * word, &value, 4);
	}
	return *at == ':' ? at + 1 : NULL;
}

static const char *next_field(const char *at)
{
	at += strcspn(at, " ");
	return at + strspn(at, " ");
}

/* slot: references protocol flags type state inode name */
static bool unix_line(const char *line, struct socket_entry *entry)
{
	const char *at = strchr(line, ':');
	char *end;

	if (!at)
		return false;
	at += 1 + strspn(at + 1, " ");
	at = next_field(next_field(at));
	unsigned long flags = strtoul(at, &end, 16);
	if (*end != ' ' || !(flags & FLAG_ACCEPTING))
		return false;
	for (int field = 0; field < 3; field++)
		at = next_field(at);
	entry->inode = strtoull(at, &end, 10);
	entry->domain = SOCKET_UNIX;
	entry->udp = false;
	entry->path = end + 1;
	return end != at && *end == ' ' && end[1];
}

bool socket_table_line(const char *line, enum socket_domain domain, bool udp, struct socket_entry *entry)
{
	const char *at = strchr(line, ':');
	char *end;

	if (domain == SOCKET_UNIX)
		return unix_line(line, entry);

	if (!at)
		return false;
	at += 1 + strspn(at + 1, " ");
	at = parse_address(at, domain == SOCKET_V6, entry->address);
	if (!at)
		return false;
	entry->port = (uint16_t)strtoul(at, &end, 16);
	if (*end != ' ')
		return false;
	at = next_field(next_field(at)); /* past the peer's address */
	unsigned long state = strtoul(at, &end, 16);
	if (*end != ' ')
		return false;
	/* queues, timer, retransmissions, uid, timeout, then the inode */
	for (int field = 0; field < 6; field++)
		at = next_field(at);
	entry->inode = strtoull(at, &end, 10);
	entry->domain = domain;
	entry->udp = udp;
	return end != at && state == (udp ? STATE_UNCONNECTED : STATE_LISTEN);
}

static void read_table(const char *path, enum socket_domain domain, bool udp, void (*found)(const struct socket_entry *entry))
{
	static char buffer[16384];
	size_t filled = 0;
	bool header = true;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	for (;;) {
		ssize_t got = read(fd, buffer + filled, sizeof(buffer) - 1 - filled);
		if (got <= 0)
			break;
		filled += (size_t)got;
		buffer[filled] = 0;
		char *line = buffer;
		for (char *end; (end = strchr(line, '\n')); line = end + 1) {
			struct socket_entry entry = { .inode = 0 };
			*end = 0;
			if (!header && socket_table_line(line, domain, udp, &entry))
				found(&entry);
			header = false;
		}
		filled = (size_t)(buffer + filled - line);
		memmove(buffer, line, filled);
	}
	close(fd);
}

void socket_table_read(bool udp, void (*found)(const struct socket_entry *entry))
{
	read_table("/proc/net/tcp", SOCKET_V4, false, found);
	read_table("/proc/net/tcp6", SOCKET_V6, false, found);
	read_table("/proc/net/unix", SOCKET_UNIX, false, found);
	if (udp) {
		read_table("/proc/net/udp", SOCKET_V4, true, found);
		read_table("/proc/net/udp6", SOCKET_V6, true, found);
	}
}
