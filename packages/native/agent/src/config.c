#include "config.h"

#include <stddef.h>
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
		.folders = { empty_list, 0 },
		.volumes = { empty_list, 0 },
		.groups = { empty_list, 0 },
		.root_type = "erofs",
		.stop_nanos = UINT64_C(4000000000),
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

/* The form of each key, and its destination. */
enum form { FORM_TEXT, FORM_LIST, FORM_ENVIRONMENT, FORM_NUMBER, FORM_SIGNAL, FORM_SWITCH, FORM_HOLD, FORM_LISTENERS };

struct key {
	const char *name;
	enum form form;
	size_t offset;
	bool is_agents; /* said at boot only */
};

#define KEY(name, form, member) { name, form, offsetof(struct config, member), false }
#define AGENT_KEY(name, form, member) { name, form, offsetof(struct config, member), true }

static const struct key keys[] = {
	KEY("argv", FORM_LIST, argv),
	KEY("env", FORM_ENVIRONMENT, env),
	KEY("identityHook", FORM_LIST, identity_hook),
	KEY("identityHookNanos", FORM_NUMBER, identity_hook_nanos),
	KEY("identitySignal", FORM_SIGNAL, identity_signal),
	KEY("cwd", FORM_TEXT, cwd),
	KEY("hostname", FORM_TEXT, hostname),
	KEY("hold", FORM_HOLD, hold),
	KEY("holdNanos", FORM_NUMBER, hold_nanos),
	KEY("listeners", FORM_LISTENERS, listeners),
	KEY("root", FORM_TEXT, root),
	KEY("rootType", FORM_TEXT, root_type),
	KEY("rootReadOnly", FORM_SWITCH, root_read_only),
	KEY("scratch", FORM_TEXT, scratch),
	KEY("scratchBytes", FORM_NUMBER, scratch_bytes),
	KEY("folder", FORM_LIST, folders),
	KEY("volume", FORM_LIST, volumes),
	KEY("user", FORM_TEXT, user),
	KEY("group", FORM_LIST, groups),
	KEY("resolvConf", FORM_TEXT, resolv_conf),
	KEY("hosts", FORM_TEXT, hosts),
	KEY("stopSignal", FORM_SIGNAL, stop_signal),
	KEY("stopNanos", FORM_NUMBER, stop_nanos),
	AGENT_KEY("module", FORM_LIST, modules),
	AGENT_KEY("port", FORM_TEXT, port),
	AGENT_KEY("heartbeatMillis", FORM_NUMBER, heartbeat_millis),
	AGENT_KEY("privileged", FORM_SWITCH, privileged),
	AGENT_KEY("consoleMarkers", FORM_SWITCH, console_markers),
};

static const char *read_value(enum form form, char *value, void *into)
{
	static const char *const holds[] = { "timed", "untilGo", NULL };
	static const char *const listeners[] = { "seccomp", "scan", "off", NULL };
	const char *problem = NULL;
	unsigned choice = 0;

	switch (form) {
	case FORM_TEXT:
		*(const char **)into = value;
		return NULL;
	case FORM_ENVIRONMENT:
		if (value[0] == '=' || !strchr(value, '='))
			return "expected NAME=value";
		return append(into, value);
	case FORM_LIST:
		return append(into, value);
	case FORM_NUMBER:
		return parse_number(value, into);
	case FORM_SIGNAL:
		return parse_signal(value, into);
	case FORM_SWITCH:
		return parse_switch(value, into);
	case FORM_HOLD:
		problem = parse_choice(value, holds, &choice);
		if (!problem)
			*(enum hold_mode *)into = choice;
		return problem;
	case FORM_LISTENERS:
		problem = parse_choice(value, listeners, &choice);
		if (!problem)
			*(enum listener_mode *)into = choice;
		return problem;
	}
	return "unknown key";
}

static const char *parse_pair(struct config *config, const char *name, char *value, bool at_boot)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(keys[i].name, name) != 0)
			continue;
		if (keys[i].is_agents && !at_boot)
			return "this is said at boot";
		return read_value(keys[i].form, value, (char *)config + keys[i].offset);
	}
	return "unknown key";
}

static const char *parse_line(struct config *config, char *line, bool at_boot)
{
	char *equals = strchr(line, '=');

	if (!equals)
		return "expected key=value";
	*equals = 0;
	const char *problem = unescape(equals + 1);
	return problem ? problem : parse_pair(config, line, equals + 1, at_boot);
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
		const char *problem = *line && *line != '#' ? parse_line(config, line, true) : NULL;
		if (problem && bad_line == 0) {
			bad_line = number;
			*reason = problem;
		}
		line = end ? end + 1 : NULL;
	}
	return bad_line;
}

struct config config_for_workload(const struct config *config)
{
	struct config fresh;

	config_init(&fresh);
	fresh.modules = config->modules;
	fresh.port = config->port;
	fresh.heartbeat_millis = config->heartbeat_millis;
	fresh.privileged = config->privileged;
	fresh.console_markers = config->console_markers;
	fresh.hostname = config->hostname;
	fresh.listeners = config->listeners;
	fresh.hold = config->hold;
	fresh.hold_nanos = config->hold_nanos;
	return fresh;
}

const char *config_workload_line(struct config *config, char *line)
{
	return parse_line(config, line, false);
}

static void free_list(struct config_list *list)
{
	if (list->items != empty_list)
		free(list->items);
	*list = (struct config_list){ empty_list, 0 };
}

void config_free(struct config *config)
{
	free_list(&config->argv);
	free_list(&config->env);
	free_list(&config->identity_hook);
	free_list(&config->folders);
	free_list(&config->volumes);
	free_list(&config->groups);
}
