/* A short line of text built without the standard streams. Text that does not fit is cut off. */
#ifndef STILLPOINT_TEXT_H
#define STILLPOINT_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct text {
	char bytes[512];
	size_t length;
};

/* `bytes` is null-terminated after each of these. */
void text_start(struct text *text, const char *words);
void text_add(struct text *text, const char *words);
void text_add_number(struct text *text, uint64_t number);

#endif
