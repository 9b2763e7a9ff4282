#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "console.h"

static void mount_one(const char *type, const char *target, unsigned long flags, const char *options)
{
	mkdir(target, 0755);
	if (mount(type, target, type, flags, options) < 0)
		console_say("mount failed", target, errno);
}

/* Usermode helpers (core_pattern, modprobe) start with every capability; the workload could name one of its own. */
static void forbid_usermode_helper_capabilities(void)
{
	static const char *const files[] = {
		"/proc/sys/kernel/usermodehelper/bset",
		"/proc/sys/kernel/usermodehelper/inheritable",
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int fd = open(files[i], O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, "0 0\n", 4) != 4)
			console_say("usermode helpers keep their capabilities", files[i], errno);
		if (fd >= 0)
			close(fd);
	}
}

void mounts_prepare(bool privileged)
{
	const unsigned long plain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	const unsigned long guarded = plain | (privileged ? 0 : MS_RDONLY);

	umask(0);
	mount_one("proc", "/proc", plain, NULL);
	mount_one("sysfs", "/sys", guarded, NULL);
	mount_one("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
	mount_one("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666");
	mount_one("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
	mount_one("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755");
	mount_one("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777");

	static const char *const links[][2] = {
		{ "/proc/self/fd", "/dev/fd" },
		{ "/proc/self/fd/0", "/dev/stdin" },
		{ "/proc/self/fd/1", "/dev/stdout" },
		{ "/proc/self/fd/2", "/dev/stderr" },
	};
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
			console_say("link failed", links[i][1], errno);
	}
	umask(022);
	if (!privileged)
		forbid_usermode_helper_capabilities();
}
