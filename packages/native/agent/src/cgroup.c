#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "console.h"

#ifndef FSOPEN_CLOEXEC
#include <linux/mount.h>
#endif

static int workload_group = -1;
static int exec_group = -1;
static int freeze_file = -1;
/* Opened twice: reading the state through one must not take a change away from whoever waits on the other. */
static int events_file = -1;
static int changes_file = -1;
static void (*workload_changed)(void);
static struct watch events_watch = { .fd = -1 };

/* A mount of the hierarchy that is attached nowhere: only this descriptor reaches it. */
static int private_mount(void)
{
	int context = (int)syscall(SYS_fsopen, "cgroup2", FSOPEN_CLOEXEC);

	if (context < 0)
		return -1;
	int root = -1;
	if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		root = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
	int error = errno;
	close(context);
	errno = error;
	return root;
}

static int make_group(int root, const char *name)
{
	if (mkdirat(root, name, 0755) < 0 && errno != EEXIST)
		return -1;
	return openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int cgroup_init(bool privileged)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | (privileged ? 0 : MS_RDONLY);
	int root = private_mount();

	if (root < 0)
		return errno;
	workload_group = make_group(root, "workload");
	exec_group = workload_group < 0 ? -1 : make_group(root, "exec");
	freeze_file = exec_group < 0 ? -1 : openat(workload_group, "cgroup.freeze", O_WRONLY | O_CLOEXEC);
	events_file = freeze_file < 0 ? -1 : openat(workload_group, "cgroup.events", O_RDONLY | O_CLOEXEC);
	changes_file = events_file < 0 ? -1 : openat(workload_group, "cgroup.events", O_RDONLY | O_CLOEXEC);
	int error = changes_file < 0 ? errno : 0;
	close(root);
	if (mount("cgroup2", "/sys/fs/cgroup", "cgroup2", flags, NULL) < 0)
		console_say("mount failed", "/sys/fs/cgroup", errno);
	return error;
}

int cgroup_workload(void)
{
	return workload_group;
}

int cgroup_exec(void)
{
	return exec_group;
}

/* Reads "name 0" or "name 1" from cgroup.events. */
static bool event_state(const char *name)
{
	char text[128];
	ssize_t length = events_file < 0 ? -1 : pread(events_file, text, sizeof(text) - 1, 0);

	if (length <= 0)
		return false;
	text[length] = 0;
	const char *at = strstr(text, name);
	return at && at[strlen(name)] == ' ' && at[strlen(name) + 1] == '1';
}

bool cgroup_workload_populated(void)
{
	return event_state("populated");
}

static void events_ready(struct watch *watch, uint32_t events)
{
	char text[128];

	(void)events;
	/* Reading is what makes the file wait for its next change. */
	if (pread(watch->fd, text, sizeof(text), 0) >= 0)
		workload_changed();
}

int cgroup_watch_workload(void (*changed)(void))
{
	if (changes_file < 0)
		return EBADF;
	workload_changed = changed;
	events_watch = (struct watch){ .fd = changes_file, .ready = events_ready };
	return loop_add(&events_watch, EPOLLPRI);
}

static int write_freeze(const char *state)
{
	if (freeze_file < 0)
		return EOPNOTSUPP;
	return pwrite(freeze_file, state, 1, 0) == 1 ? 0 : errno;
}

int cgroup_freeze_workload(uint64_t limit_nanos)
{
	uint64_t deadline = monotonic_nanos() + limit_nanos;
	int error = write_freeze("1");

	if (error)
		return error;
	while (!event_state("frozen")) {
		uint64_t now = monotonic_nanos();
		struct pollfd change = { .fd = events_file, .events = POLLPRI };
		if (now >= deadline) {
			write_freeze("0");
			return ETIMEDOUT;
		}
		poll(&change, 1, (int)((deadline - now) / 1000000) + 1);
	}
	return 0;
}

int cgroup_thaw_workload(void)
{
	return write_freeze("0");
}
