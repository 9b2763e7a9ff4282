#include "environment.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static char *const nothing[] = { NULL };
static char *const defaults[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root",
	"TERM=linux",
	NULL,
};
static char *const *configured = nothing;
static char **identity;

static size_t count(char *const *items)
{
	size_t n = 0;

	while (items[n])
		n++;
	return n;
}

static bool same_name(const char *a, const char *b)
{
	size_t length = strcspn(a, "=");

	return strncmp(a, b, length) == 0 && b[length] == '=';
}

void environment_configure(char *const *items)
{
	configured = items;
}

int environment_set_identity(char *const *items)
{
	size_t n = count(items);
	size_t text = 0;

	for (size_t i = 0; i < n; i++)
		text += strlen(items[i]) + 1;
	char **copy = malloc((n + 1) * sizeof(*copy) + text);
	if (!copy)
		return ENOMEM;
	char *into = (char *)(copy + n + 1);
	for (size_t i = 0; i < n; i++) {
		size_t length = strlen(items[i]) + 1;
		memcpy(into, items[i], length);
		copy[i] = into;
		into += length;
	}
	copy[n] = NULL;
	free(identity);
	identity = copy;
	return 0;
}

static void merge_into(char **merged, size_t *used, char *const *items)
{
	for (; *items; items++) {
		size_t at = 0;
		while (at < *used && !same_name(merged[at], *items))
			at++;
		merged[at] = *items;
		if (at == *used)
			(*used)++;
	}
}

char **environment_merge(const char *home, char *const *extra)
{
	char *own[] = { NULL, NULL };
	char *const *layers[] = { defaults, own, configured, identity ? identity : nothing, extra ? extra : nothing };
	size_t total = 2, used = 0, home_bytes = home ? strlen(home) + sizeof("HOME=") : 0;

	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++)
		total += count(layers[i]);
	char **merged = malloc(total * sizeof(*merged) + home_bytes);
	if (!merged)
		return NULL;
	if (home) {
		own[0] = (char *)(merged + total);
		strcpy(own[0], "HOME=");
		strcat(own[0], home);
	}
	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++)
		merge_into(merged, &used, layers[i]);
	merged[used] = NULL;
	return merged;
}

const char *environment_value(char *const *environment, const char *name)
{
	size_t length = strlen(name);

	for (; *environment; environment++) {
		if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
			return *environment + length + 1;
	}
	return NULL;
}
