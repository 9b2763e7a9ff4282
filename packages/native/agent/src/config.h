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
 *
 * The same lines, but for module, port, heartbeatMillis, privileged and consoleMarkers, come with StartWorkload.
 *
 * The settings of a workload that does not run in the initial RAM file system. DEVICE is the serial number of a block device,
 * or its path in /dev.
 *
 *   root                         DEVICE of the image that becomes the root
 *   rootType                     its file system, default erofs
 *   rootReadOnly                 0 (default) or 1
 *   scratch                      DEVICE that takes what is written over the image; memory if there is none
 *   scratchBytes                 most bytes of memory for it, default half of what is free
 *   folder                       list: folders that the image's root is to have; missing ones are made
 *   volume                       list: `rw TYPE DEVICE PATH` or `ro TYPE DEVICE PATH`; an empty rw ext4 one is formatted
 *   user                         NAME or NUMBER, then perhaps :GROUP; names are those of the root
 *   group                        list: further groups, by name or number
 *   resolvConf, hosts            content of these files in /etc of an image's root; without them, the image's resolv.conf, and
 *                                hosts with the names of the machine itself
 *   stopSignal                   sent to the workload before the machine is switched off, default 0 for none
 *   stopNanos                    how long it may then take to end, default 4000000000
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
	struct config_list folders;
	struct config_list volumes;
	struct config_list groups;
	const char *root; /* null: the initial RAM file system stays */
	const char *root_type;
	const char *scratch; /* null: memory */
	const char *user; /* null: uid 0, and in an image's root with its groups */
	const char *resolv_conf; /* null: as it is */
	const char *hosts;	 /* null: only the machine itself */
	uint64_t scratch_bytes;	 /* 0: half of what is free */
	uint64_t stop_nanos;
	int stop_signal;
	bool root_read_only;
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

/*
 * The configuration of a workload that starts after the boot: the agent's own settings of `config`, and defaults for the rest.
 */
struct config config_for_workload(const struct config *config);

/* Parses one line of it, which is modified and must outlive `config`. Returns null, or the problem. */
const char *config_workload_line(struct config *config, char *line);

/* Frees what lists hold; their strings are the caller's. */
void config_free(struct config *config);

#endif
