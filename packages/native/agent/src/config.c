#include "config.h"

#include <stdlib.h>
#include <string.h>

enum { SIGNAL_MAX = 64 };

static char *empty_list[] = { NULL };

void config_init(struct config *config)
{
	*config = (struct config){
		.argv = { empty_list, 0 },
		.env = { empty_list, 0 },
		.modules = { empty_list, 0 },
		.identity_hook = { empty_list, 0 },
		.cwd = "/",
		.hostname = "stillpoint",
		.port = "/dev/ttyS1",
		.heartbeat_millis = 100,
		.hold_nanos = 100000000,
		.identity_hook_nanos = UINT64_C(3000000000),
		.hold = HOLD_TIMED,
		.listeners = LISTENERS_SECCOMP,
	};
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decodes `%XX` in place. */
static const char *unescape(char *value)
{
	char *out = value;

	for (const char *in = value; *in;) {
		if (*in != '%') {
			*out++ = *in++;
			continue;
		}
		int high = hex_digit(in[1]);
		int low = high < 0 ? -1 : hex_digit(in[2]);
		if (low < 0)
			return "% must be followed by two hexadecimal digits";
		if (high == 0 && low == 0)
			return "a value cannot hold a NUL byte";
		*out++ = (char)(high << 4 | low);
		in += 3;
	}
	*out = 0;
	return NULL;
}

static const char *append(struct config_list *list, char *value)
{
	char **grown = realloc(list->items == empty_list ? NULL : list->items, (list->count + 2) * sizeof(*grown));

	if (!grown)
		return "out of memory";
	grown[list->count++] = value;
	grown[list->count] = NULL;
	list->items = grown;
	return NULL;
}

static const char *parse_number(const char *value, uint64_t *into)
{
	/* Timers are set in signed 64-bit nanoseconds; milliseconds are bounded to fit after scaling. */
	const uint64_t limit = UINT64_C(9000000000000);
	uint64_t number = 0;

	if (!*value)
		return "expected a number";
	for (; *value; value++) {
		if (*value < '0' || *value > '9')
			return "expected a number";
		number = number * 10 + (uint64_t)(*value - '0');
		if (number > limit)
			return "the number is too large";
	}
	*into = number;
	return NULL;
}

static const char *parse_signal(const char *value, int *into)
{
	uint64_t number;
	const char *problem = parse_number(value, &number);

	if (problem || number > SIGNAL_MAX)
		return "expected a signal from 1 to 64, or 0";
	*into = (int)number;
	return NULL;
}

static const char *parse_switch(const char *value, bool *into)
{
	if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
		return "expected 0 or 1";
	*into = value[0] == '1';
	return NULL;
}

static const char *parse_choice(const char *value, const char *const *choices, unsigned *into)
{
	for (unsigned i = 0; choices[i]; i++) {
		if (strcmp(value, choices[i]) == 0) {
			*into = i;
			return NULL;
		}
	}
	return "not one of the allowed words";
}

static const char *parse_pair(struct config *config, const char *key, char *value)
{
	static const char *const holds[] = { "timed", "untilGo", NULL };
	static const char *const listeners[] = { "seccomp", "scan", "off", NULL };
	const char *problem = NULL;
	unsigned choice = 0;

	if (strcmp(key, "argv") == 0)
		return append(&config->argv, value);
	if (strcmp(key, "env") == 0)
		return strchr(value, '=') && value[0] != '=' ? append(&config->env, value) : "expected NAME=value";
	if (strcmp(key, "module") == 0)
		return append(&config->modules, value);
	if (strcmp(key, "identityHook") == 0)
		return append(&config->identity_hook, value);
	if (strcmp(key, "identityHookNanos") == 0)
		return parse_number(value, &config->identity_hook_nanos);
	if (strcmp(key, "identitySignal") == 0)
		return parse_signal(value, &config->identity_signal);
	if (strcmp(key, "cwd") == 0)
		return config->cwd = value, NULL;
	if (strcmp(key, "hostname") == 0)
		return config->hostname = value, NULL;
	if (strcmp(key, "port") == 0)
		return config->port = value, NULL;
	if (strcmp(key, "heartbeatMillis") == 0)
		return parse_number(value, &config->heartbeat_millis);
	if (strcmp(key, "holdNanos") == 0)
		return parse_number(value, &config->hold_nanos);
	if (strcmp(key, "privileged") == 0)
		return parse_switch(value, &config->privileged);
	if (strcmp(key, "consoleMarkers") == 0)
		return parse_switch(value, &config->console_markers);
	if (strcmp(key, "hold") == 0) {
		problem = parse_choice(value, holds, &choice);
		if (!problem)
			config->hold = choice;
		return problem;
	}
	if (strcmp(key, "listeners") == 0) {
		problem = parse_choice(value, listeners, &choice);
		if (!problem)
			config->listeners = choice;
		return problem;
	}
	return "unknown key";
}

static const char *parse_line(struct config *config, char *line)
{
	char *equals = strchr(line, '=');

	if (!equals)
		return "expected key=value";
	*equals = 0;
	const char *problem = unescape(equals + 1);
	return problem ? problem : parse_pair(config, line, equals + 1);
}

size_t config_parse(struct config *config, char *text, const char **reason)
{
	size_t bad_line = 0;
	size_t number = 0;

	for (char *line = text; line;) {
		char *end = strchr(line, '\n');
		if (end)
			*end = 0;
		number++;
		const char *problem = *line && *line != '#' ? parse_line(config, line) : NULL;
		if (problem && bad_line == 0) {
			bad_line = number;
			*reason = problem;
		}
		line = end ? end + 1 : NULL;
	}
	return bad_line;
}
