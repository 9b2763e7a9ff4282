#include "file_remover.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "file_place.h"

int start_remover(int above, const char *name)
{
	int ends[2];
	char byte = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		/* Leaves the group that is killed. It holds standard error open, so that the agent can await its end. */
		setsid();
		close(ends[1]);
		close(STDIN_FILENO);
		close(STDOUT_FILENO);
		if (write(ends[0], &byte, 1) == 1 && read(ends[0], &byte, 1) == 0)
			remove_tree(above, name);
		_exit(0);
	}
	close(ends[0]);
	/* Nothing is created before the remover exists. */
	if (pid > 0 && read(ends[1], &byte, 1) == 1)
		return ends[1];
	close(ends[1]);
	errno = EAGAIN;
	return -1;
}
