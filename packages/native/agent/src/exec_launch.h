/* The process of a command: its streams, whom it runs as, and how it is begun. */
#ifndef STILLPOINT_EXEC_LAUNCH_H
#define STILLPOINT_EXEC_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "frame.h"
#include "spawn.h"

/* A terminal's size; no columns: no terminal. */
struct terminal_size {
	uint16_t columns, rows;
};

/* A command as the host wants it; `environment` is added to the configured one. */
struct exec_request {
	uint32_t id;
	const struct string_list *argv;
	const struct string_list *environment;
	const char *cwd;
	const char *user; /* empty: as the agent */
	struct slice input;
	bool close_input;
	uint64_t output_bytes;
	struct terminal_size terminal;
	bool is_file_service; /* the agent's own program for files, see file_service.h */
};

/* Later commands are confined like the workload, unless `privileged`. */
void launch_init(bool privileged);

/*
 * Begins a command. Returns its pid and the agent's ends of standard input, output and error, which do not block; of a
 * terminal there is no third. -1 with `*failure` set, and nothing is left of it.
 */
pid_t launch(const struct exec_request *wanted, int own[3], struct spawn_failure *failure);

#endif
