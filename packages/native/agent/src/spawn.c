#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine.h"
#include "environment.h"
#include "filter.h"

/* The child's reports while it prepares. The socket closes silently when it executes its program. */
struct report {
	int32_t step;
	int32_t value;
};

enum { STEP_LISTENER = -1, STEP_CLONE = 0, STEP_SESSION, STEP_STREAMS, STEP_CWD, STEP_CAPABILITIES, STEP_USER, STEP_EXEC };

static const char *const step_names[] = { "clone", "session", "streams", "cwd", "capabilities", "user", "exec" };

/* A program is executed within this time or counts as failed. */
enum { EXEC_LIMIT_SECONDS = 10 };

static pid_t clone_into(int cgroup)
{
	struct clone_args args = {
		.flags = cgroup >= 0 ? CLONE_INTO_CGROUP : 0,
		.exit_signal = SIGCHLD,
		.cgroup = cgroup >= 0 ? (uint64_t)cgroup : 0,
	};

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static void fail(int channel, int step, int error)
{
	struct report report = { step, error };

	/* Without a reader the report is lost. */
	if (send(channel, &report, sizeof(report), MSG_NOSIGNAL) < 0)
		_exit(126);
	_exit(127);
}

static void execute(const struct spawn_request *request)
{
	const char *name = request->argv[0];
	const char *path = environment_value(request->envp, "PATH");
	int error = ENOENT;

	if (request->program) {
		syscall(SYS_execveat, *request->program, "", request->argv, request->envp, AT_EMPTY_PATH);
		return;
	}
	if (strchr(name, '/') || !path) {
		execve(name, request->argv, request->envp);
		return;
	}
	while (*name) {
		char file[4096];
		size_t directory = strcspn(path, ":");
		size_t length = strlen(name);
		if (directory > 0 && directory + length + 2 <= sizeof(file)) {
			memcpy(file, path, directory);
			file[directory] = '/';
			memcpy(file + directory + 1, name, length + 1);
			execve(file, request->argv, request->envp);
			/* A later directory may hold an executable one; the first real refusal is reported. */
			if (errno != ENOENT && errno != ENOTDIR && error == ENOENT)
				error = errno;
		}
		if (!path[directory])
			break;
		path += directory + 1;
	}
	errno = error;
}

static void reset_signals(void)
{
	const struct sigaction plain = { .sa_handler = SIG_DFL };
	sigset_t none;

	sigaction(SIGPIPE, &plain, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void install_filter(const struct spawn_request *request, int channel)
{
	int fd, error = filter_install(request->confined, request->watch_listeners, &fd);
	struct report report = { STEP_LISTENER, fd };
	char taken;

	if (error)
		fail(channel, STEP_CAPABILITIES, error);
	/* The agent takes the descriptor out of this process, then confirms it. */
	if (fd >= 0 && send(channel, &report, sizeof(report), MSG_NOSIGNAL) == (ssize_t)sizeof(report) &&
	    recv(channel, &taken, 1, 0) == 1)
		close(fd);
}

/* Leaving uid 0 takes every capability along. */
static int take_account(const struct account *account)
{
	if (setgroups(account->group_count, account->groups) < 0 || setresgid(account->gid, account->gid, account->gid) < 0 ||
	    setresuid(account->uid, account->uid, account->uid) < 0)
		return errno;
	return 0;
}

static _Noreturn void become(const struct spawn_request *request, int channel)
{
	int error;

	if (setsid() < 0)
		fail(channel, STEP_SESSION, errno);
	for (int i = 0; i < 3; i++) {
		if (dup2(request->streams[i], i) < 0)
			fail(channel, STEP_STREAMS, errno);
	}
	if (request->terminal && ioctl(0, TIOCSCTTY, 0) < 0)
		fail(channel, STEP_STREAMS, errno);
	if (chdir(request->cwd) < 0)
		fail(channel, STEP_CWD, errno);
	umask(022);
	/* A filter without no_new_privs takes SYS_ADMIN, so it comes before the capabilities go. */
	install_filter(request, channel);
	if (request->confined && (error = confine_capabilities()))
		fail(channel, STEP_CAPABILITIES, error);
	if (request->account && (error = take_account(request->account)))
		fail(channel, STEP_USER, error);
	reset_signals();
	execute(request);
	fail(channel, STEP_EXEC, errno);
	_exit(127);
}

static int take_listener(pid_t pid, int fd)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int taken = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	if (pidfd >= 0)
		close(pidfd);
	return taken;
}

pid_t spawn(const struct spawn_request *request, int *listener, struct spawn_failure *failure)
{
	int channel[2];
	struct timeval limit = { EXEC_LIMIT_SECONDS, 0 };
	struct report report = { STEP_CLONE, 0 };
	ssize_t got;

	if (listener)
		*listener = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) < 0) {
		*failure = (struct spawn_failure){ step_names[STEP_CLONE], errno, NULL };
		return -1;
	}
	pid_t pid = clone_into(request->cgroup);
	if (pid == 0) {
		close(channel[0]);
		become(request, channel[1]);
	}
	if (pid < 0) {
		*failure = (struct spawn_failure){ step_names[STEP_CLONE], errno, NULL };
		close(channel[0]);
		close(channel[1]);
		return -1;
	}
	close(channel[1]);
	setsockopt(channel[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	while ((got = recv(channel[0], &report, sizeof(report), 0)) == (ssize_t)sizeof(report) &&
	       report.step == STEP_LISTENER) {
		if (listener)
			*listener = take_listener(pid, report.value);
		if (send(channel[0], "", 1, MSG_NOSIGNAL) < 0)
			break;
	}
	int error = errno;
	close(channel[0]);
	if (got == 0)
		return pid;

	if (got < 0)
		report = (struct report){ STEP_EXEC, error == EAGAIN ? ETIMEDOUT : error };
	*failure = (struct spawn_failure){ step_names[report.step], report.value, NULL };
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (listener && *listener >= 0) {
		close(*listener);
		*listener = -1;
	}
	return -1;
}
