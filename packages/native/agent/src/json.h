/*
 * Checks the payload of a custom event: JSON (RFC 8259) that every reader reads as the same value, by the host's rules
 * (crates/vmm/src/control/json.rs), which decide. Nothing is built from it.
 *
 * Brackets are nested at most 64 deep; an integer is at most 2^53 - 1 in magnitude, a number with fraction or exponent
 * below 1.7976931348623158e308; an escaped surrogate is one of a pair.
 */
#ifndef STILLPOINT_JSON_H
#define STILLPOINT_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* True when `text` is one value in UTF-8, with optional white space around it. */
bool json_valid(const char *text, size_t length);

#endif
