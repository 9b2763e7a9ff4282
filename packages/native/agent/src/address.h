/* Text form of socket addresses. */
#ifndef STILLPOINT_ADDRESS_H
#define STILLPOINT_ADDRESS_H

#include <stddef.h>
#include <stdint.h>

/* Enough for "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255" and its NUL. */
enum { ADDRESS_TEXT_MAX = 46 };

/* Writes dotted decimal. `bytes` is in network order. */
void address_text_v4(const uint8_t bytes[4], char text[ADDRESS_TEXT_MAX]);

/* Writes the canonical form of RFC 5952, IPv4-mapped addresses as ::ffff:a.b.c.d. */
void address_text_v6(const uint8_t bytes[16], char text[ADDRESS_TEXT_MAX]);

/* Room for the longest name of the Unix domain. */
enum { ADDRESS_UNIX_MAX = 109 };

/*
 * Writes a name of the Unix domain, `length` bytes as the kernel gives them: a path, or a name of the abstract name space
 * with '@' for its first byte and for every zero in it, as /proc/net/unix has it.
 */
void address_text_unix(const char *name, size_t length, char text[ADDRESS_UNIX_MAX]);

#endif
