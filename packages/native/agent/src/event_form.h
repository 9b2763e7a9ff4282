/*
 * The form of a custom event. The agent, stillpoint-emit and the host apply the same rules: the host accepts what
 * passes here.
 */
#ifndef STILLPOINT_EVENT_FORM_H
#define STILLPOINT_EVENT_FORM_H

#include <stdbool.h>
#include <stddef.h>

#define EVENT_NAME_FORM "1 to 64 characters A-Z a-z 0-9 . _ : / -, not beginning with -"
#define EVENT_PAYLOAD_FORM                                                                                      \
	"JSON of at most 32768 bytes and 64 levels, integers up to 2^53 - 1, other numbers finite, surrogates " \
	"in pairs"

bool event_name_valid(const char *name, size_t length);
bool event_payload_valid(const char *payload, size_t length);

#endif
