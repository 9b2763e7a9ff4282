/* Recognises JSON (RFC 8259) without building anything from it. */
#ifndef STILLPOINT_JSON_H
#define STILLPOINT_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* True when `text` is one JSON value in UTF-8, nested at most 64 deep, with optional white space around it. */
bool json_valid(const char *text, size_t length);

#endif
