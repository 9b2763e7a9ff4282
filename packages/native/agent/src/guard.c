#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "console.h"
#include "mounts.h"

/*
 * A mount upon /proc also keeps a user namespace from mounting a /proc of its own: the kernel allows that only where
 * nothing is covered.
 */
static const char *const read_only[] = { "/proc/sys", "/proc/sysrq-trigger", "/proc/irq" };

/*
 * A process of the guest provides the pages behind the first two: an agent that touched one through a system call of
 * the workload would wait forever.
 */
static const char *const removed[] = {
	"/dev/userfaultfd", "/dev/fuse",     "/dev/mem",      "/dev/kmem",     "/dev/port",	 "/dev/nvram",
	"/dev/snapshot",    "/dev/watchdog", "/dev/watchdog0", "/dev/watchdog1", "/dev/cpu_dma_latency",
};

static void write_setting(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		console_say("a kernel setting stays as it is", path, errno);
	if (fd >= 0)
		close(fd);
}

void guard_kernel(void)
{
	/* Helpers start as uid 0 in the root control group. None is wanted; those that have no switch get no capability. */
	write_setting("/proc/sys/kernel/modprobe", "\n");
	write_setting("/proc/sys/kernel/usermodehelper/bset", "0 0\n");
	write_setting("/proc/sys/kernel/usermodehelper/inheritable", "0 0\n");
	/* The table of open files is shared by all; its entries count as memory of the control group that opens them. */
	write_setting("/proc/sys/fs/file-max", "9223372036854775807\n");

	for (size_t i = 0; i < sizeof(read_only) / sizeof(read_only[0]); i++) {
		int error = mounts_protect(read_only[i]);
		if (error && error != ENOENT)
			console_say("stays writable", read_only[i], error);
	}
	for (size_t i = 0; i < sizeof(removed) / sizeof(removed[0]); i++) {
		if (unlink(removed[i]) < 0 && errno != ENOENT)
			console_say("a device node stays", removed[i], errno);
	}
}
