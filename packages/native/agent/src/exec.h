/*
 * Commands that the host runs in the guest, several at once.
 *
 * A command's output frames all come before its ExecExited. When it leaves children behind that hold
 * its output open, ExecExited comes after what had been written by then and a short grace; what
 * they write later is read and dropped.
 */
#ifndef STILLPOINT_EXEC_H
#define STILLPOINT_EXEC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "frame.h"

/* Commands inherit the confinement of the workload unless `privileged`. Returns 0 or an errno. */
int exec_init(bool privileged);

/*
 * Starts a command and answers with ExecStarted or ExecFailed. An id that is in use is Rejected.
 * `environment` is added to the configured one.
 */
void exec_start(uint32_t id, const struct string_list *argv, const struct string_list *environment, const char *cwd,
		struct slice input, bool close_input);

/*
 * Standard input has a window: the host sends at most LIMIT_COMMAND_INPUT_BYTES more than ExecInputTaken has told as taken,
 * those of Exec itself counted. So any amount may be sent, to several commands at once, and none waits for another.
 */

/* Adds to a running command's standard input, and closes it after that if asked. Problems are Rejected. */
void exec_input(uint32_t id, struct slice input, bool close_input);

/* Signals a running command and what it started in its process group. Problems are Rejected. */
void exec_kill(uint32_t id, int signal);

/* A child has ended. Returns true when it was a command. */
bool exec_reaped(pid_t pid, int status);

#endif
