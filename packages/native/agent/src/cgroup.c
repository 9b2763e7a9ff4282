#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "console.h"
#include "text.h"

#ifndef OPEN_TREE_CLONE
#include <linux/mount.h>
#endif

#define HIERARCHY "/sys/fs/cgroup"

/* Memory that is kept from the workload, where there is that much: enough for a few commands. */
static const uint64_t KEPT_BYTES = 16 << 20;

static int workload_group = -1;
static int exec_group = -1;
static int freeze_file = -1;
/* Opened twice: reading the state through one must not hide a change from a waiter on the other. */
static int events_file = -1;
static int changes_file = -1;
static void (*workload_changed)(void);
static struct watch events_watch = { .fd = -1 };

static int make_group(int root, const char *name)
{
	if (mkdirat(root, name, 0755) < 0 && errno != EEXIST)
		return -1;
	return openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void write_setting(int folder, const char *name, const char *value)
{
	int fd = openat(folder, name, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		console_say("a control group is not limited", name, errno);
	if (fd >= 0)
		close(fd);
}

static void limit(const char *name, uint64_t most)
{
	struct text number;

	text_start(&number, "");
	text_add_number(&number, most);
	write_setting(workload_group, name, number.bytes);
}

/* However much the workload takes, something is left for a command of the host. */
static void limit_workload(int root)
{
	struct sysinfo system;
	struct rlimit processes;

	write_setting(root, "cgroup.subtree_control", "+memory +pids");
	if (sysinfo(&system) == 0) {
		uint64_t unused = (uint64_t)system.freeram * system.mem_unit;
		limit("memory.max", unused - (unused / 8 < KEPT_BYTES ? unused / 8 : KEPT_BYTES));
	}
	/* Process 1 starts with half of the kernel's maximum. */
	if (getrlimit(RLIMIT_NPROC, &processes) == 0 && processes.rlim_cur != RLIM_INFINITY)
		limit("pids.max", (uint64_t)processes.rlim_cur * 7 / 4);
}

/*
 * Leaves the workload's own group, and nothing above or beside it, to be seen. To be read only would not do: a process can
 * be cloned into any group whose directory it can open, however that was mounted.
 */
static int show_workload_only(void)
{
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY };
	int tree = (int)syscall(SYS_open_tree, AT_FDCWD, HIERARCHY "/workload", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	int error = tree < 0 ? errno : 0;

	/* If a step fails, the rest of the hierarchy is not shown. The agent's descriptors keep it alive. */
	if (umount2(HIERARCHY, MNT_DETACH) < 0)
		error = errno;
	if (!error && (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0 ||
		       syscall(SYS_move_mount, tree, "", AT_FDCWD, HIERARCHY, MOVE_MOUNT_F_EMPTY_PATH) < 0))
		error = errno;
	if (tree >= 0)
		close(tree);
	return error;
}

int cgroup_init(bool privileged)
{
	/* In a cgroup namespace of its own a process may then not change the settings of the group that it is in. */
	if (mount("cgroup2", HIERARCHY, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate") < 0)
		return errno;
	int root = open(HIERARCHY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	workload_group = root < 0 ? -1 : make_group(root, "workload");
	exec_group = workload_group < 0 ? -1 : make_group(root, "exec");
	freeze_file = exec_group < 0 ? -1 : openat(workload_group, "cgroup.freeze", O_WRONLY | O_CLOEXEC);
	events_file = freeze_file < 0 ? -1 : openat(workload_group, "cgroup.events", O_RDONLY | O_CLOEXEC);
	changes_file = events_file < 0 ? -1 : openat(workload_group, "cgroup.events", O_RDONLY | O_CLOEXEC);
	int error = changes_file < 0 ? errno : 0;
	if (workload_group >= 0)
		limit_workload(root);
	if (root >= 0)
		close(root);
	if (!privileged) {
		int hidden = show_workload_only();
		if (hidden)
			console_say("the workload's control group is not shown", NULL, hidden);
	}
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

void cgroup_signal_workload(int signal)
{
	char text[4096];
	size_t kept = 0;
	int fd = openat(workload_group, "cgroup.procs", O_RDONLY | O_CLOEXEC);

	for (ssize_t got; fd >= 0 && (got = read(fd, text + kept, sizeof(text) - 1 - kept)) > 0;) {
		char *line = text, *end;
		text[kept + (size_t)got] = 0;
		for (; (end = strchr(line, '\n')); line = end + 1)
			kill((pid_t)strtol(line, NULL, 10), signal);
		kept = strlen(line);
		memmove(text, line, kept);
	}
	if (fd >= 0)
		close(fd);
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
