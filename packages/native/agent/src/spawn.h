/* Starting a process: control group, session, streams, confinement, and an exact report of what failed. */
#ifndef STILLPOINT_SPAWN_H
#define STILLPOINT_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "account.h"

struct spawn_request {
	char *const *argv; /* argv[0] without a slash is searched in the PATH of envp */
	char *const *envp;
	const char *cwd;
	const int *program; /* descriptor of the program, instead of argv[0]; or null */
	int streams[3]; /* become standard input, output and error; each above 2 */
	const struct account *account; /* whom the program runs as; null: uid 0 */
	int cgroup;	/* directory descriptor of the control group, or -1 */
	bool confined;
	bool watch_listeners;
	bool terminal; /* standard input becomes the session's controlling terminal */
};

struct spawn_failure {
	const char *step; /* clone, session, streams, cwd, capabilities, user or exec */
	int error;
	const char *message; /* what is wrong, where the error's own words do not say it; or null */
};

/*
 * Starts a process and waits until it executes its program or has failed to. Returns its pid, or -1
 * with `*failure` set. With watch_listeners, `*listener` becomes the descriptor of its bind and
 * listen calls, or -1 where the kernel has none.
 */
pid_t spawn(const struct spawn_request *request, int *listener, struct spawn_failure *failure);

#endif
