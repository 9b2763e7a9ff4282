/*
 * Commands that the host runs in the guest, several at once.
 *
 * All output frames of a command come before its ExecExited. If it leaves children that hold its output open, ExecExited comes
 * after the output so far and a short grace; their later output is read and dropped.
 */
#ifndef STILLPOINT_EXEC_H
#define STILLPOINT_EXEC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "exec_launch.h"
#include "frame.h"

/* Commands inherit the confinement of the workload unless `privileged`. Returns 0 or an errno. */
int exec_init(bool privileged);

/* Starts a command and answers with ExecStarted or ExecFailed. An id that is in use, or one command too many, is Rejected. */
void exec_start(const struct exec_request *request);

/*
 * Both directions have windows, so that any amount may be sent to and by several commands at once, and none waits for another.
 * Standard input: the host sends at most LIMIT_COMMAND_INPUT_BYTES more than ExecInputTaken has confirmed, including those of
 * Exec itself. Output: the agent sends as much as Exec and ExecWindow have allowed; the rest stays in the pipe or terminal,
 * where the command waits for room.
 */

/* Opens a command's output window by `bytes`; 0: all further output is dropped. */
void exec_window(uint32_t id, uint64_t bytes);

/* Gives a command's terminal another size. Problems are Rejected. */
void exec_resize(uint32_t id, struct terminal_size size);

/* Adds to a running command's standard input, and closes it after that if asked. Problems are Rejected. */
void exec_input(uint32_t id, struct slice input, bool close_input);

/*
 * The callers of the commands so far are in another machine, of which this one is a clone. Kills the file operations, and returns
 * once they have ended and what they had made is removed, so that none changes anything that was not requested here. Other commands continue, since they may have
 * been captured on purpose; their output is dropped, so that none waits for a reader.
 */
void exec_callers_left(void);

/* Signals a running command and its process group. Problems are Rejected. */
void exec_kill(uint32_t id, int signal);

/* A child has ended. Returns true when it was a command. */
bool exec_reaped(pid_t pid, int status);

#endif
