#include "json.h"

#include <stdint.h>
#include <string.h>

enum { DEPTH_MAX = 64 };

struct cursor {
	const uint8_t *at;
	const uint8_t *end;
};

static int peek(const struct cursor *c)
{
	return c->at < c->end ? *c->at : -1;
}

static bool accept(struct cursor *c, int byte)
{
	if (peek(c) != byte)
		return false;
	c->at++;
	return true;
}

static void space(struct cursor *c)
{
	while (peek(c) == ' ' || peek(c) == '\t' || peek(c) == '\n' || peek(c) == '\r')
		c->at++;
}

static bool digits(struct cursor *c)
{
	const uint8_t *start = c->at;

	while (peek(c) >= '0' && peek(c) <= '9')
		c->at++;
	return c->at > start;
}

static bool number(struct cursor *c)
{
	accept(c, '-');
	if (!accept(c, '0') && !digits(c))
		return false;
	if (accept(c, '.') && !digits(c))
		return false;
	if (accept(c, 'e') || accept(c, 'E')) {
		if (!accept(c, '+'))
			accept(c, '-');
		return digits(c);
	}
	return true;
}

/* The rest of a character of two to four bytes: no overlong forms, no surrogates, nothing past U+10FFFF. */
static bool utf8_tail(struct cursor *c, int lead)
{
	int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
	int low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
	int high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;

	if (lead < 0xc2 || lead > 0xf4)
		return false;
	for (; more > 0; more--, low = 0x80, high = 0xbf) {
		if (peek(c) < low || peek(c) > high)
			return false;
		c->at++;
	}
	return true;
}

static bool escape(struct cursor *c)
{
	int byte = peek(c);

	if (byte < 0)
		return false;
	c->at++;
	if (byte != 'u')
		return strchr("\"\\/bfnrt", byte) != NULL && byte != 0;
	for (int i = 0; i < 4; i++, c->at++) {
		int digit = peek(c);
		if (!((digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f') || (digit >= 'A' && digit <= 'F')))
			return false;
	}
	return true;
}

static bool string(struct cursor *c)
{
	if (!accept(c, '"'))
		return false;
	for (;;) {
		int byte = peek(c);
		if (byte < 0x20)
			return false;
		c->at++;
		if (byte == '"')
			return true;
		if (byte == '\\' && !escape(c))
			return false;
		if (byte >= 0x80 && !utf8_tail(c, byte))
			return false;
	}
}

static bool word(struct cursor *c, const char *letters)
{
	size_t length = strlen(letters);

	if ((size_t)(c->end - c->at) < length || memcmp(c->at, letters, length) != 0)
		return false;
	c->at += length;
	return true;
}

static bool value(struct cursor *c, int depth);

static bool items(struct cursor *c, int depth, bool named, int close)
{
	space(c);
	if (accept(c, close))
		return true;
	for (;;) {
		space(c);
		if (named) {
			if (!string(c))
				return false;
			space(c);
			if (!accept(c, ':'))
				return false;
		}
		if (!value(c, depth))
			return false;
		if (accept(c, close))
			return true;
		if (!accept(c, ','))
			return false;
	}
}

static bool value(struct cursor *c, int depth)
{
	bool good;

	if (depth > DEPTH_MAX)
		return false;
	space(c);
	switch (peek(c)) {
	case '{':
		c->at++;
		good = items(c, depth + 1, true, '}');
		break;
	case '[':
		c->at++;
		good = items(c, depth + 1, false, ']');
		break;
	case '"':
		good = string(c);
		break;
	case 't':
		good = word(c, "true");
		break;
	case 'f':
		good = word(c, "false");
		break;
	case 'n':
		good = word(c, "null");
		break;
	default:
		good = number(c);
	}
	space(c);
	return good;
}

bool json_valid(const char *text, size_t length)
{
	struct cursor c = { (const uint8_t *)text, (const uint8_t *)text + length };

	return value(&c, 0) && c.at == c.end;
}
