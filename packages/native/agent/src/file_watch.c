#include "file_watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file_place.h"

/* A directory that is watched, and where it lies. The kernel's numbers ascend: so does the list. */
struct watched {
	int number;
	char *path;
};

static const uint32_t CHANGES = IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO |
				IN_DELETE_SELF | IN_MOVE_SELF;

static struct watched *list;
static size_t count, room;
static int inotify = -1;

/*
 * The watched path, and its identity. It is opened only when needed, since inotify does not report the removal of a
 * directory that is open.
 */
static const char *top_path;
static struct stat top;

static void tell(char kind, bool is_directory, uint32_t move, const char *above, const char *name)
{
	printf("%c %c %u %s%s%s", kind, is_directory ? 'd' : '-', (unsigned)move, above, *above && *name ? "/" : "", name);
	putchar(0);
}

static struct watched *find(int number)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (list[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && list[low].number == number && list[low].path ? &list[low] : NULL;
}

static bool remember(int number, const char *path)
{
	struct watched *known = find(number);
	char *copy = strdup(path);

	if (!copy)
		return false;
	if (known) {
		free(known->path);
		known->path = copy;
		return true;
	}
	if (count == room) {
		/* Forgotten entries make room before the list grows. */
		size_t kept = 0;
		for (size_t at = 0; at < count; at++) {
			if (list[at].path)
				list[kept++] = list[at];
		}
		count = kept;
	}
	if (count == room) {
		struct watched *more = realloc(list, (room * 2 + 64) * sizeof(*list));
		if (!more) {
			free(copy);
			return false;
		}
		list = more;
		room = room * 2 + 64;
	}
	list[count++] = (struct watched){ number, copy };
	return true;
}

/* A directory was moved away, with everything below it. */
static void forget_below(const char *path)
{
	size_t length = strlen(path);

	for (size_t at = 0; at < count; at++) {
		if (list[at].path && strncmp(list[at].path, path, length) == 0 &&
		    (!list[at].path[length] || list[at].path[length] == '/')) {
			inotify_rm_watch(inotify, list[at].number);
			free(list[at].path);
			list[at].path = NULL;
		}
	}
}

/* Opens the watched path, if it still exists. Returns a descriptor or -1. */
static int open_top(int flags)
{
	struct stat found;
	int root = open_root();
	int fd = root < 0 ? -1 : open_in(root, top_path, flags);

	if (root >= 0)
		close(root);
	if (fd >= 0 && (fstat(fd, &found) < 0 || found.st_ino != top.st_ino || found.st_dev != top.st_dev)) {
		close(fd);
		errno = ENOENT;
		return -1;
	}
	return fd;
}

/* Opens a directory below it, through no link. */
static int open_below(const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int above = open_top(O_PATH | O_DIRECTORY);
	int fd = above < 0 ? -1 : (int)syscall(SYS_openat2, above, *path ? path : ".", &how, sizeof(how));
	int error = errno;

	if (above >= 0)
		close(above);
	errno = error;
	return fd;
}

/* Each of these returns 0 or an errno. */

static int add(int fd, const char *path)
{
	char own[32];
	snprintf(own, sizeof(own), "/proc/self/fd/%d", fd);
	int number = inotify_add_watch(inotify, own, CHANGES);

	if (number < 0)
		/* As many as the kernel lets be watched; the disk has nothing to do with it. */
		return errno == ENOSPC ? EMFILE : errno;
	return remember(number, path) ? 0 : ENOMEM;
}

/* Watches a directory and those below it; `is_late` reports existing entries as created. Vanished ones are left out. */
static int add_tree(const char *path, bool is_late)
{
	int fd = open_below(path);

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : errno;
	int error = add(fd, path);
	DIR *folder = error ? NULL : fdopendir(fd);
	if (!folder) {
		error = error ? error : errno;
		close(fd);
		return error;
	}
	for (const struct dirent *entry; !error && (entry = readdir(folder));) {
		struct stat found;
		char below[PATH_MAX];
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    fstatat(fd, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (is_late)
			tell('c', S_ISDIR(found.st_mode), 0, path, entry->d_name);
		if (!S_ISDIR(found.st_mode))
			continue;
		int length = snprintf(below, sizeof(below), "%s%s%s", path, *path ? "/" : "", entry->d_name);
		error = length >= (int)sizeof(below) ? ENAMETOOLONG : add_tree(below, is_late);
	}
	closedir(folder);
	return error;
}

static bool is_there(void)
{
	int fd = open_top(O_PATH);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static char kind_of(uint32_t mask)
{
	static const struct {
		uint32_t change;
		char kind;
	} kinds[] = {
		{ IN_CREATE, 'c' },	 { IN_DELETE, 'r' },	 { IN_MODIFY, 'm' },   { IN_CLOSE_WRITE, 'w' },
		{ IN_ATTRIB, 'a' },	 { IN_MOVED_FROM, 'f' }, { IN_MOVED_TO, 't' }, { IN_DELETE_SELF, 'r' },
		{ IN_MOVE_SELF, 'r' },
	};

	for (size_t at = 0; at < sizeof(kinds) / sizeof(kinds[0]); at++) {
		if (mask & kinds[at].change)
			return kinds[at].kind;
	}
	return 0;
}

/* Handles one event; `is_over` is set if there will be no more. */
static int hear(const struct inotify_event *event, bool all, bool *is_over)
{
	if (event->mask & IN_Q_OVERFLOW) {
		tell('l', false, 0, "", "");
		return 0;
	}
	const struct watched *watched = find(event->wd);
	if (!watched)
		return 0;
	const char *name = event->len > 0 ? event->name : "";
	bool is_top = !*watched->path;
	bool is_directory = event->mask & IN_ISDIR;
	char kind = kind_of(event->mask);
	/* Removing a file that is open is reported as a change of its link count. */
	if (kind == 'a' && is_top && !*name && !is_directory && !is_there())
		kind = 'r';
	*is_over |= is_top && ((kind == 'r' && !*name) || event->mask & (IN_IGNORED | IN_UNMOUNT));
	/* Events of a directory below are reported by its parent. */
	if (!kind || (!*name && !is_top))
		return 0;
	tell(kind, is_directory, event->cookie, watched->path, name);
	if (!all || !is_directory || !*name)
		return 0;
	char below[PATH_MAX];
	if (snprintf(below, sizeof(below), "%s%s%s", watched->path, is_top ? "" : "/", name) >= (int)sizeof(below))
		return 0;
	if (kind == 'f')
		forget_below(below);
	return kind == 'c' || kind == 't' ? add_tree(below, true) : 0;
}

/* Begins to watch. Returns null, or what failed, with errno set. */
static const char *begin(bool all)
{
	int root = open_root();
	int fd = root < 0 ? -1 : open_in(root, top_path, O_PATH);

	if (fd < 0 || fstat(fd, &top) < 0)
		return "open";
	inotify = inotify_init1(IN_CLOEXEC);
	errno = inotify < 0 ? errno : all && S_ISDIR(top.st_mode) ? add_tree("", false) : add(fd, "");
	int error = errno;
	close(fd);
	close(root);
	errno = error;
	return error ? "watch" : NULL;
}

int watch_path(const char *path, bool all)
{
	static char events[64 * 1024] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool is_over = false;

	top_path = path;
	const char *failed = begin(all);
	if (failed)
		return refused(failed);
	tell('b', S_ISDIR(top.st_mode), 0, "", "");
	while (!is_over) {
		if (fflush(stdout) != 0)
			return refused("write");
		ssize_t got = read(inotify, events, sizeof(events));
		if (got < 0 && errno != EINTR)
			return refused("watch");
		for (ssize_t at = 0; at < got && !is_over;) {
			const struct inotify_event *event = (const struct inotify_event *)(events + at);
			int error = hear(event, all, &is_over);
			if (error)
				return refuse(error, "watch");
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
	return fflush(stdout) == 0 ? 0 : refused("write");
}
