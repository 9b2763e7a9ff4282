#include "root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "account_find.h"
#include "console.h"
#include "disks.h"
#include "hosts.h"
#include "in_root.h"
#include "mounts.h"
#include "volumes.h"

#ifndef MOVE_MOUNT_F_EMPTY_PATH
#include <linux/mount.h>
#endif

#define IMAGE "/stillpoint/image"
#define OVER "/stillpoint/over"
#define ROOT "/stillpoint/root"
#define EMIT "/run/stillpoint/emit"

/*
 * The agent's mounts from the boot, which move along; `emit` is the program that sends events, from the initial RAM file
 * system.
 */
static const char *const moved[] = { "/proc", "/sys", "/dev", "/run/stillpoint" };

/* Files of the agent's own folder that lie over those in /etc. */
static const char *const names[] = { "hostname", "machine-id" };

static bool entered;

bool root_entered(void)
{
	return entered;
}

static bool mount_image(const struct config *config, struct root_failure *failure)
{
	char disk[DISK_PATH_MAX];
	int error = disk_find(config->root, disk);

	if (error)
		return root_fail(failure, "root", "no disk for the root", config->root, error);
	mkdir(IMAGE, 0700);
	if (mount(disk, IMAGE, config->root_type, MS_RDONLY | MS_NODEV, NULL) < 0)
		return root_fail(failure, "root", "the image cannot be mounted", config->root, errno);
	return true;
}

static bool mount_memory(uint64_t bytes, struct root_failure *failure)
{
	struct text options;
	struct sysinfo system = { .freeram = 0 };

	sysinfo(&system);
	text_start(&options, "mode=0700,size=");
	text_add_number(&options, bytes > 0 ? bytes : (uint64_t)system.freeram * system.mem_unit / 2);
	if (mount("tmpfs", OVER, "tmpfs", MS_NODEV, options.bytes) < 0)
		return root_fail(failure, "scratch", "no memory for what is written", NULL, errno);
	return true;
}

/* The root folder of an overlay is the upper one: it gets the attributes of the image's. */
static int make_upper(void)
{
	struct stat image;

	mkdir(OVER "/upper", 0755);
	mkdir(OVER "/work", 0700);
	if (stat(IMAGE, &image) < 0 || chown(OVER "/upper", image.st_uid, image.st_gid) < 0 ||
	    chmod(OVER "/upper", image.st_mode & 07777) < 0)
		return errno;
	return 0;
}

static bool mount_overlay(const struct config *config, struct root_failure *failure)
{
	/* Renaming a folder or changing an owner does not copy contents; no other process writes to the upper folder. */
	static const char options[] = "lowerdir=" IMAGE ",upperdir=" OVER "/upper,workdir=" OVER "/work,redirect_dir=on,metacopy=on";
	static const char in_memory[] = "lowerdir=" IMAGE ",upperdir=" OVER "/upper,workdir=" OVER "/work,redirect_dir=on,metacopy=on,volatile";

	mkdir(OVER, 0700);
	mkdir(ROOT, 0755);
	if (config->scratch ? !volume_mount_scratch(config->scratch, OVER, failure) : !mount_memory(config->scratch_bytes, failure))
		return false;
	int error = make_upper();
	if (!error && mount("overlay", ROOT, "overlay", MS_NODEV, config->scratch ? options : in_memory) < 0)
		error = errno;
	return error ? root_fail(failure, "root", "nothing can be laid over the image", NULL, error) : true;
}

static bool find_account(int root, const struct config *config, struct account *account, struct root_failure *failure)
{
	struct text problem;
	int error = account_find(root, config->user ? config->user : "0", (const char *const *)config->groups.items, account, &problem);

	if (!error)
		return true;
	/* The words of a name or a file that is wrong are enough. */
	root_fail(failure, "user", problem.bytes, NULL, 0);
	failure->error = error == ENOENT ? 0 : error;
	return false;
}

int root_set_name(const char *file, const char *text)
{
	int fd = openat(mounts_own_folder(), file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	struct text line;

	if (fd < 0)
		return errno;
	/* In place, since the file itself may lie over one of the root's. */
	text_start(&line, text);
	if (*text)
		text_add(&line, "\n");
	int error = pwrite(fd, line.bytes, line.length, 0) == (ssize_t)line.length && ftruncate(fd, (off_t)line.length) == 0 ? 0 : ENOSPC;
	close(fd);
	return error;
}

/* Lays the agent's file of that name over the root's. Until a new identity says otherwise a machine id is the image's. */
static int cover_name(int root, int etc, const char *name)
{
	struct stat known;
	struct text own;

	if (fstatat(mounts_own_folder(), name, &known, 0) < 0) {
		struct text path;
		text_start(&path, "/etc/");
		text_add(&path, name);
		char *text = in_root_read(root, path.bytes, NULL);
		if (text)
			text[strcspn(text, "\n")] = 0;
		int error = root_set_name(name, text && strlen(text) < 256 ? text : "");
		free(text);
		if (error)
			return error;
	}
	int error = in_root_write(etc, name, "");
	int fd = error ? -1 : openat(etc, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error ? error : errno;
	text_start(&own, "/run/stillpoint/");
	text_add(&own, name);
	struct descriptor_path target = descriptor_path(fd);
	if (mount(own.bytes, target.bytes, NULL, MS_BIND, NULL) < 0)
		error = errno;
	close(fd);
	return error;
}

static const char *local_hosts(void)
{
	static struct text hosts;
	char hostname[65] = { 0 };

	gethostname(hostname, sizeof(hostname) - 1);
	text_start(&hosts, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" HOSTS_OWN_ADDRESS "\t");
	text_add(&hosts, hostname);
	text_add(&hosts, "\n");
	return hosts.bytes;
}

static bool write_files(int root, const struct config *config, struct root_failure *failure)
{
	char hostname[65] = { 0 };
	int etc = in_root_folder(root, "/etc");
	int error = etc < 0 ? errno : 0;

	gethostname(hostname, sizeof(hostname) - 1);
	if (!error)
		error = root_set_name("hostname", hostname);
	if (!error)
		error = in_root_write(etc, "hosts", config->hosts ? config->hosts : local_hosts());
	if (!error && config->resolv_conf)
		error = in_root_write(etc, "resolv.conf", config->resolv_conf);
	for (size_t i = 0; !error && i < sizeof(names) / sizeof(names[0]); i++)
		error = cover_name(root, etc, names[i]);
	if (etc >= 0)
		close(etc);
	return error ? root_fail(failure, "files", "the files of /etc cannot be written", NULL, error) : true;
}

static bool make_folder(int root, const char *path, mode_t mode, struct root_failure *failure)
{
	int folder = in_root_folder_of_mode(root, path, mode);

	if (folder < 0)
		return root_fail(failure, "files", "the root has no folder", path, errno);
	close(folder);
	return true;
}

/* Every step that can still fail has been done before: the folders exist. */
static bool prepare(int root, const struct config *config, struct account *account, struct root_failure *failure)
{
	static const char *const folders[] = { "/proc", "/sys", "/dev", "/run/stillpoint" };

	if (!find_account(root, config, account, failure))
		return false;
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		if (!make_folder(root, folders[i], 0755, failure))
			return false;
	}
	/* Everybody's, but for what others have put there. */
	if (!make_folder(root, "/tmp", 01777, failure))
		return false;
	for (char *const *folder = config->folders.items; *folder; folder++) {
		if (!make_folder(root, *folder, 0755, failure))
			return false;
	}
	if (!write_files(root, config, failure) || !volumes_mount(root, config->volumes.items, failure))
		return false;
	int folder = in_root_folder(root, config->cwd);
	if (folder < 0)
		return root_fail(failure, "cwd", "the working directory cannot be made", config->cwd, errno);
	close(folder);
	return true;
}

/* The program that sends events is one with the agent; here it has a name that lasts. */
static void keep_emit(void)
{
	int fd = openat(mounts_own_folder(), "emit", O_WRONLY | O_CREAT | O_CLOEXEC, 0755);

	if (fd >= 0)
		close(fd);
	if (fd < 0 || mount("/init", EMIT, NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, EMIT, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
		console_say("programs have no stillpoint-emit", NULL, errno);
}

/* Removes what lies in the initial RAM file system itself. */
static void remove_below(int folder, dev_t device)
{
	DIR *entries = fdopendir(folder);

	for (struct dirent *entry; entries && (entry = readdir(entries));) {
		struct stat known;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (entry->d_type == DT_DIR && fstatat(dirfd(entries), entry->d_name, &known, AT_SYMLINK_NOFOLLOW) == 0 &&
		    known.st_dev == device) {
			int below = openat(dirfd(entries), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (below >= 0)
				remove_below(below, device);
			unlinkat(dirfd(entries), entry->d_name, AT_REMOVEDIR);
		} else {
			unlinkat(dirfd(entries), entry->d_name, 0);
		}
	}
	if (entries)
		closedir(entries);
	else
		close(folder);
}

static int move(const char *path, int root)
{
	int target = in_root_folder(root, path);
	int error = target < 0 ? errno : 0;

	if (!error && syscall(SYS_move_mount, AT_FDCWD, path, target, "", MOVE_MOUNT_T_EMPTY_PATH) < 0)
		error = errno;
	if (target >= 0)
		close(target);
	return error;
}

/* From here on there is no way back; failures are reported, and the rest continues. */
static void go_there(int root, const struct config *config)
{
	struct stat old;
	int before = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	mkdir("/dev/mqueue", 01777);
	if (mount("mqueue", "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		console_say("no message queues", NULL, errno);
	if (!config->privileged)
		disks_hide();
	for (size_t i = 0; i < sizeof(moved) / sizeof(moved[0]); i++) {
		int error = move(moved[i], root);
		if (error)
			console_say("a mount stays behind", moved[i], error);
	}
	/* The mount itself is read-only, not its file system: volumes and the names stay as they are. */
	if (config->root_read_only && mount(NULL, ROOT, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NODEV, NULL) < 0)
		console_say("the root stays writable", NULL, errno);
	if (before >= 0 && fstat(before, &old) == 0)
		remove_below(before, old.st_dev);
	if (fchdir(root) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		console_say("the root is not entered", NULL, errno);
	entered = true;
}

static void undo(void)
{
	umount2(ROOT, MNT_DETACH);
	umount2(OVER, MNT_DETACH);
	umount2(IMAGE, MNT_DETACH);
}

bool root_enter(const struct config *config, struct account *account, struct root_failure *failure)
{
	if (!config->root) {
		int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		bool found = find_account(root, config, account, failure);
		close(root);
		return found;
	}
	bool ready = mount_image(config, failure) && mount_overlay(config, failure);
	int root = ready ? open(ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (ready && root < 0)
		ready = root_fail(failure, "root", "the root cannot be opened", NULL, errno);
	if (ready && prepare(root, config, account, failure)) {
		keep_emit();
		go_there(root, config);
	} else {
		ready = false;
		undo();
	}
	if (root >= 0)
		close(root);
	return ready;
}

/* A process that does not end is stuck in the kernel. */
static void end_everything(void)
{
	const struct timespec pause = { 0, 1000000 };

	kill(-1, SIGKILL);
	for (int i = 0; i < 1000; i++) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);
		if (pid < 0)
			return;
		if (pid == 0)
			nanosleep(&pause, NULL);
	}
}

void root_close(void)
{
	if (!entered)
		return;
	end_everything();
	volumes_close();
}
