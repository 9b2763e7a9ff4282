/*
 * The agent's configuration: `key=value` lines of /stillpoint/agent.conf.
 *
 * In a value `%XX` stands for the byte with that hexadecimal number, so that any byte but NUL can
 * be written. Repeated keys are lists. Empty lines and lines that start with '#' are skipped.
 *
 *   argv, env, module            lists; env items are NAME=value, module items are paths
 *   cwd                          the workload's working directory, default /
 *   hostname                     default stillpoint
 *   heartbeatMillis              guest milliseconds between heartbeats, default 100, 0 for none
 *   hold, holdNanos              timed (default) or untilGo; default 100000000
 *   listeners                    seccomp (default), scan or off
 *   port                         the control port's device, default /dev/ttyS1
 *   identityHook                 list: a program that takes part in a new identity, and its arguments
 *   identityHookNanos            how long it may take, default 3000000000
 *   identitySignal               sent to the workload after a new identity, default 0 for none
 *   privileged, consoleMarkers   0 (default) or 1
 */
#ifndef STILLPOINT_CONFIG_H
#define STILLPOINT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hold_mode { HOLD_TIMED, HOLD_UNTIL_GO };
enum listener_mode { LISTENERS_SECCOMP, LISTENERS_SCAN, LISTENERS_OFF };

/* Null-terminated, grown one item at a time while the configuration is read. */
struct config_list {
	char **items;
	size_t count;
};

struct config {
	struct config_list argv;
	struct config_list env;
	struct config_list modules;
	struct config_list identity_hook;
	const char *cwd;
	const char *hostname;
	const char *port;
	uint64_t heartbeat_millis;
	uint64_t hold_nanos;
	uint64_t identity_hook_nanos;
	int identity_signal;
	enum hold_mode hold;
	enum listener_mode listeners;
	bool privileged;
	bool console_markers;
};

/* Sets the defaults. */
void config_init(struct config *config);

/*
 * Reads `text`, which is changed and must outlive `config`: values point into it.
 * Returns 0, or the number (from 1) of the first line that is not understood, with `*reason` set;
 * lines after it are still applied, so that one bad line does not take the rest along.
 */
size_t config_parse(struct config *config, char *text, const char **reason);

#endif
