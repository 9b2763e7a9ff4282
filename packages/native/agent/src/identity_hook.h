/*
 * The guest's own part in a new identity: a program of the image that runs before the workload does, and must end first.
 */
#ifndef STILLPOINT_IDENTITY_HOOK_H
#define STILLPOINT_IDENTITY_HOOK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "contract.h"

/* The end of a hook: `failed` false, or a reason, a message, and an errno or 0. */
struct hook_end {
	bool failed;
	enum reject_reason reason;
	const char *message;
	int error;
};

/* Hooks are confined as commands are unless `privileged`. Returns 0 or an errno. */
int identity_hook_init(bool privileged);

/*
 * Names the program, null-terminated, empty for none, and where it runs. It runs beside the workload; its output goes to the
 * console.
 */
void identity_hook_configure(char *const *argv, const char *cwd);

/*
 * Starts the program, with `environment` added to that of commands, and calls `ended` once when it has ended, could not be
 * started, or has run for `limit_nanos` and was killed with its process group. Without a program `ended` is called at once.
 */
void identity_hook_run(char *const *environment, uint64_t limit_nanos, void (*ended)(const struct hook_end *end));

/* A child has ended. Returns true when it was the hook. */
bool identity_hook_reaped(pid_t pid, int status);

#endif
