#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "console.h"
#include "text.h"

#define OWN_FOLDER "/run/stillpoint"

/* The enlargement of a full root: a page for a file, a page for its folder, and their inodes. */
enum { ROOM_BYTES = 16384, ROOM_INODES = 4 };

static const unsigned long plain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
static int own_folder = -1;

static void mount_one(const char *type, const char *target, unsigned long flags, const char *options)
{
	mkdir(target, 0755);
	if (mount(type, target, type, flags, options) < 0)
		console_say("mount failed", target, errno);
}

/* Sets the limit of a file system in memory to `bytes` and `inodes`; 0 inodes leave them. Returns 0 or an errno. */
static int bound(const char *target, uint64_t bytes, uint64_t inodes)
{
	struct text options;

	text_start(&options, "size=");
	text_add_number(&options, bytes);
	if (inodes > 0) {
		text_add(&options, ",nr_inodes=");
		text_add_number(&options, inodes);
	}
	return mount(NULL, target, NULL, MS_REMOUNT, options.bytes) < 0 ? errno : 0;
}

static void mount_shared_memory(uint64_t free_bytes)
{
	struct text options;

	text_start(&options, "mode=1777,size=");
	text_add_number(&options, free_bytes / 4);
	mount_one("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, options.bytes);
}

static void bound_root(uint64_t free_bytes)
{
	struct statfs root;

	if (statfs("/", &root) < 0)
		return;
	uint64_t used = (uint64_t)(root.f_blocks - root.f_bfree) * (uint64_t)root.f_bsize;
	int error = bound("/", used + free_bytes / 2, 0);
	if (error)
		console_say("the root can grow over all memory", NULL, error);
}

int mounts_make_room(void)
{
	struct statfs root;

	if (statfs("/", &root) < 0)
		return errno;
	return bound("/", (uint64_t)root.f_blocks * (uint64_t)root.f_bsize + ROOM_BYTES, (uint64_t)root.f_files + ROOM_INODES);
}

int mounts_protect(const char *path)
{
	if (mount(path, path, NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | plain, NULL) < 0)
		return errno;
	return 0;
}

/* The agent reaches its folder through a descriptor, below the cover that everybody else meets. */
static void mount_own_folder(void)
{
	mount_one("tmpfs", OWN_FOLDER, plain, "mode=0755,size=64k,nr_inodes=32");
	own_folder = open(OWN_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = own_folder < 0 ? errno : mounts_protect(OWN_FOLDER);
	if (error)
		console_say("the agent has no folder of its own", OWN_FOLDER, error);
}

int mounts_own_folder(void)
{
	return own_folder;
}

void mounts_prepare(bool privileged)
{
	struct sysinfo system = { .freeram = 0 };

	sysinfo(&system);
	uint64_t free_bytes = (uint64_t)system.freeram * system.mem_unit;
	umask(0);
	mount_one("proc", "/proc", plain, NULL);
	mount_one("sysfs", "/sys", plain | (privileged ? 0 : MS_RDONLY), NULL);
	/* Nodes take no bytes; a file that is put among them would. */
	mount_one("devtmpfs", "/dev", MS_NOSUID, "mode=0755,size=64k,nr_inodes=2048");
	mount_one("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666");
	mount_shared_memory(free_bytes);
	mkdir("/run", 0755);
	mkdir("/tmp", 0777);
	chmod("/tmp", 01777);
	bound_root(free_bytes);
	mount_own_folder();

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
}
