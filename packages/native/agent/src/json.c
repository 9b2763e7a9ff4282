#include "json.h"

#include <stdint.h>
#include <string.h>

#include "contract.h"

enum { DEPTH_MAX = LIMIT_PAYLOAD_DEPTH };

/* The greatest integer that every reader holds exactly, 2^53 - 1. */
static const char GREATEST_INTEGER[] = "9007199254740991";
/* Leading digits of the least number of magnitude 308 that is too large. */
static const char TOO_LARGE[] = "17976931348623158";
static const int64_t GREATEST_MAGNITUDE = 308;

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

/* A run of digits inside the text. */
struct run {
	const uint8_t *digits;
	size_t count;
};

static struct run digits(struct cursor *c)
{
	struct run run = { c->at, 0 };

	while (peek(c) >= '0' && peek(c) <= '9') {
		c->at++;
		run.count++;
	}
	return run;
}

static bool integer_fits(struct run whole)
{
	size_t most = sizeof(GREATEST_INTEGER) - 1;

	return whole.count < most || (whole.count == most && memcmp(whole.digits, GREATEST_INTEGER, most) <= 0);
}

/* Whether `whole.fraction` times ten to the `exponent` is finite. */
static bool is_finite(struct run whole, struct run fraction, int64_t exponent)
{
	size_t count = whole.count + fraction.count, zeros = 0;
#define DIGIT(at) ((at) < whole.count ? whole.digits[at] : fraction.digits[(at) - whole.count])

	while (zeros < count && DIGIT(zeros) == '0')
		zeros++;
	if (zeros == count)
		return true;
	/* The power of ten of the first significant digit. */
	int64_t magnitude = exponent + (int64_t)whole.count - 1 - (int64_t)zeros;
	if (magnitude != GREATEST_MAGNITUDE)
		return magnitude < GREATEST_MAGNITUDE;
	for (size_t i = 0; i < sizeof(TOO_LARGE) - 1; i++) {
		/* Fewer digits are less than as many that are followed by others. */
		if (zeros + i == count)
			return true;
		if (DIGIT(zeros + i) != TOO_LARGE[i])
			return DIGIT(zeros + i) < TOO_LARGE[i];
	}
	return false;
#undef DIGIT
}

static bool number(struct cursor *c)
{
	struct run whole = { NULL, 0 }, fraction = { NULL, 0 };
	bool is_integer = true;
	int64_t exponent = 0;

	accept(c, '-');
	if (!accept(c, '0')) {
		whole = digits(c);
		if (whole.count == 0)
			return false;
	}
	if (accept(c, '.')) {
		is_integer = false;
		fraction = digits(c);
		if (fraction.count == 0)
			return false;
	}
	if (accept(c, 'e') || accept(c, 'E')) {
		bool is_negative = !accept(c, '+') && accept(c, '-');
		struct run power = digits(c);
		is_integer = false;
		if (power.count == 0)
			return false;
		/* Beyond every payload's length it makes no difference any more. */
		for (size_t i = 0; i < power.count && exponent < INT32_MAX; i++)
			exponent = exponent * 10 + (power.digits[i] - '0');
		exponent = is_negative ? -exponent : exponent;
	}
	return is_integer ? integer_fits(whole) : is_finite(whole, fraction, exponent);
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

/* The four digits of an escaped code unit; -1 without them. */
static int32_t unit(struct cursor *c)
{
	int32_t value = 0;

	for (int i = 0; i < 4; i++, c->at++) {
		int digit = peek(c);
		if (digit >= '0' && digit <= '9')
			value = value * 16 + (digit - '0');
		else if (digit >= 'a' && digit <= 'f')
			value = value * 16 + (digit - 'a' + 10);
		else if (digit >= 'A' && digit <= 'F')
			value = value * 16 + (digit - 'A' + 10);
		else
			return -1;
	}
	return value;
}

static bool escape(struct cursor *c)
{
	int byte = peek(c);

	if (byte <= 0)
		return false;
	c->at++;
	if (byte != 'u')
		return strchr("\"\\/bfnrt", byte) != NULL;
	int32_t first = unit(c);
	/* A surrogate is the first of a pair, or no character. */
	if (first >= 0xd800 && first <= 0xdbff) {
		int32_t second = accept(c, '\\') && accept(c, 'u') ? unit(c) : -1;
		return second >= 0xdc00 && second <= 0xdfff;
	}
	return first >= 0 && !(first >= 0xdc00 && first <= 0xdfff);
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
	c->at++;
	if (depth == DEPTH_MAX)
		return false;
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
		if (!value(c, depth + 1))
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

	space(c);
	switch (peek(c)) {
	case '{':
		good = items(c, depth, true, '}');
		break;
	case '[':
		good = items(c, depth, false, ']');
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
