#include "text.h"

#include <string.h>

void text_start(struct text *text, const char *words)
{
	text->length = 0;
	text->bytes[0] = 0;
	text_add(text, words);
}

void text_add(struct text *text, const char *words)
{
	size_t room = sizeof(text->bytes) - 1 - text->length;
	size_t length = strlen(words);

	if (length > room)
		length = room;
	memcpy(text->bytes + text->length, words, length);
	text->length += length;
	text->bytes[text->length] = 0;
}

void text_add_number(struct text *text, uint64_t number)
{
	char digits[21];
	size_t at = sizeof(digits);

	digits[--at] = 0;
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	text_add(text, digits + at);
}
