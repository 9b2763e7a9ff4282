#include "address.h"

#include <stdbool.h>
#include <string.h>

static char *put_decimal(char *out, unsigned value)
{
	if (value >= 100)
		*out++ = (char)('0' + value / 100);
	if (value >= 10)
		*out++ = (char)('0' + value / 10 % 10);
	*out++ = (char)('0' + value % 10);
	return out;
}

static char *put_v4(char *out, const uint8_t bytes[4])
{
	for (int i = 0; i < 4; i++) {
		if (i > 0)
			*out++ = '.';
		out = put_decimal(out, bytes[i]);
	}
	return out;
}

static char *put_group(char *out, unsigned value)
{
	bool started = false;

	for (int shift = 12; shift >= 0; shift -= 4) {
		unsigned digit = value >> shift & 15;
		if (digit == 0 && !started && shift > 0)
			continue;
		started = true;
		*out++ = "0123456789abcdef"[digit];
	}
	return out;
}

void address_text_v4(const uint8_t bytes[4], char text[ADDRESS_TEXT_MAX])
{
	*put_v4(text, bytes) = 0;
}

void address_text_v6(const uint8_t bytes[16], char text[ADDRESS_TEXT_MAX])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	unsigned groups[8];
	/* Without a run, best + best_length is 0, where no colon is due either. */
	int best = -1, best_length = 1;
	char *out = text;

	if (memcmp(bytes, mapped, sizeof(mapped)) == 0) {
		memcpy(out, "::ffff:", 7);
		*put_v4(out + 7, bytes + 12) = 0;
		return;
	}
	for (int i = 0; i < 8; i++)
		groups[i] = (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];
	/* The longest run of at least two zero groups is shortened, the first one of equals. */
	for (int i = 0; i < 8; i++) {
		int length = 0;
		while (i + length < 8 && groups[i + length] == 0)
			length++;
		if (length > best_length) {
			best = i;
			best_length = length;
		}
	}
	for (int i = 0; i < 8;) {
		if (i == best) {
			*out++ = ':';
			*out++ = ':';
			i += best_length;
			continue;
		}
		if (i > 0 && i != best + best_length)
			*out++ = ':';
		out = put_group(out, groups[i++]);
	}
	*out = 0;
}

void address_text_unix(const char *name, size_t length, char text[ADDRESS_UNIX_MAX])
{
	bool abstract = length > 0 && name[0] == 0;

	if (length > ADDRESS_UNIX_MAX - 1)
		length = ADDRESS_UNIX_MAX - 1;
	if (!abstract)
		length = strnlen(name, length);
	for (size_t i = 0; i < length; i++)
		text[i] = name[i] ? name[i] : '@';
	text[length] = 0;
}
