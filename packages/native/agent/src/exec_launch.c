#include "exec_launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "account_find.h"
#include "cgroup.h"
#include "environment.h"

/* Bytes that a command may write before the agent has read them. */
enum { PIPE_BYTES = 256 * 1024 };

/* The agent's ends of a command's streams, and the command's. */
struct ends {
	int own[3], given[3];
};

static bool confined;
static int own_program = -1;

void launch_init(bool privileged)
{
	confined = !privileged;
	own_program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

static void close_all(const int fds[3])
{
	for (int i = 0; i < 3; i++) {
		/* A terminal's end is given several times. */
		bool again = (i > 0 && fds[i] == fds[0]) || (i > 1 && fds[i] == fds[1]);
		if (fds[i] >= 0 && !again)
			close(fds[i]);
	}
}

static int open_pipes(struct ends *ends)
{
	for (int i = 0; i < 3; i++) {
		int pipe[2];
		if (pipe2(pipe, O_CLOEXEC) < 0)
			return errno;
		ends->own[i] = pipe[i == 0 ? 1 : 0];
		ends->given[i] = pipe[i == 0 ? 0 : 1];
		fcntl(ends->own[i], F_SETFL, O_NONBLOCK);
		/* If the kernel gives less room, a command and the agent alternate more often. */
		fcntl(ends->own[i], F_SETPIPE_SZ, PIPE_BYTES);
	}
	return 0;
}

static int open_terminal(struct ends *ends, struct terminal_size size)
{
	struct winsize window = { .ws_row = size.rows, .ws_col = size.columns };
	int locked = 0;

	ends->own[1] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (ends->own[1] < 0 || ioctl(ends->own[1], TIOCSPTLCK, &locked) < 0)
		return errno;
	ends->own[0] = fcntl(ends->own[1], F_DUPFD_CLOEXEC, 0);
	ends->given[0] = ioctl(ends->own[1], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	ends->given[1] = ends->given[2] = ends->given[0];
	if (ends->own[0] < 0 || ends->given[0] < 0 || ioctl(ends->own[1], TIOCSWINSZ, &window) < 0)
		return errno;
	return 0;
}

/* The user of a command, by the names of its root. Returns 0 or an errno, with `problem` set. */
static int find_account(const char *user, struct account *account, struct text *problem)
{
	static const char *const none[] = { NULL };
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int error = root < 0 ? errno : account_find(root, user, none, account, problem);

	if (root >= 0)
		close(root);
	return error;
}

static pid_t begin(struct ends *ends, const struct exec_request *wanted, struct spawn_failure *failure)
{
	static struct account account;
	static struct text problem;
	char **merged = environment_merge(NULL, wanted->environment->items);
	struct spawn_request request = {
		.argv = wanted->argv->items,
		.envp = merged,
		.cwd = *wanted->cwd ? wanted->cwd : "/",
		.program = wanted->is_file_service ? &own_program : NULL,
		.account = *wanted->user ? &account : NULL,
		.cgroup = cgroup_exec(),
		.confined = confined,
		.terminal = wanted->terminal.columns > 0,
	};

	text_start(&problem, "the root cannot be opened");
	int error = *wanted->user ? find_account(wanted->user, &account, &problem) : 0;
	if (error) {
		free(merged);
		*failure = (struct spawn_failure){ "user", error, problem.bytes };
		return -1;
	}
	if (!merged) {
		*failure = (struct spawn_failure){ "environment", ENOMEM, NULL };
		return -1;
	}
	error = request.terminal ? open_terminal(ends, wanted->terminal) : open_pipes(ends);
	pid_t pid = -1;
	if (error) {
		*failure = (struct spawn_failure){ "streams", error, NULL };
	} else {
		memcpy(request.streams, ends->given, sizeof(request.streams));
		pid = spawn(&request, NULL, failure);
	}
	free(merged);
	return pid;
}

pid_t launch(const struct exec_request *wanted, int own[3], struct spawn_failure *failure)
{
	struct ends ends = { { -1, -1, -1 }, { -1, -1, -1 } };
	pid_t pid = begin(&ends, wanted, failure);

	close_all(ends.given);
	if (pid < 0)
		close_all(ends.own);
	else
		memcpy(own, ends.own, sizeof(ends.own));
	return pid;
}
