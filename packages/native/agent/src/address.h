/* Text form of socket addresses. */
#ifndef STILLPOINT_ADDRESS_H
#define STILLPOINT_ADDRESS_H

#include <stdint.h>

/* Enough for "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255" and its NUL. */
enum { ADDRESS_TEXT_MAX = 46 };

/* Writes dotted decimal. `bytes` is in network order. */
void address_text_v4(const uint8_t bytes[4], char text[ADDRESS_TEXT_MAX]);

/* Writes the canonical form of RFC 5952, IPv4-mapped addresses as ::ffff:a.b.c.d. */
void address_text_v6(const uint8_t bytes[16], char text[ADDRESS_TEXT_MAX]);

#endif
