#include "file_service.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_pack.h"
#include "file_place.h"
#include "file_remover.h"
#include "file_unpack.h"
#include "file_watch.h"

enum { COPY_BYTES = 256 * 1024 };

static uint8_t buffer[COPY_BYTES];

/* Opens a file to be read. Anything else is refused without being opened. Returns a descriptor or -1. */
static int open_file(const char *path)
{
	struct stat found;
	int root = open_root();
	int known = root < 0 ? -1 : open_in(root, path, O_PATH);
	bool is_file = known >= 0 && fstat(known, &found) == 0 && S_ISREG(found.st_mode);

	if (known >= 0 && !is_file)
		errno = S_ISDIR(found.st_mode) ? EISDIR : ENXIO;
	int fd = is_file ? open_in(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY) : -1;
	int error = errno;
	/* It may have been replaced since it was checked. */
	if (fd >= 0 && (fstat(fd, &found) < 0 || !S_ISREG(found.st_mode))) {
		close(fd);
		fd = -1;
		error = ENXIO;
	}
	if (known >= 0)
		close(known);
	if (root >= 0)
		close(root);
	errno = error;
	return fd;
}

static bool ends_in_slash(const char *path)
{
	size_t length = strlen(path);

	return length > 0 && path[length - 1] == '/';
}

/* Whether a path ends in a slash, which names a directory, and this is something else, such as a link. */
static bool names_no_directory(const char *path, const struct place *place)
{
	struct stat found;

	return ends_in_slash(path) && fstatat(place->folder, place->name, &found, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(found.st_mode);
}

/* Copies to the end. Returns null, or what failed, with errno set. */
static const char *copy(int from, int to)
{
	for (;;) {
		ssize_t got = read(from, buffer, sizeof(buffer));
		if (got == 0)
			return NULL;
		if (got < 0 && errno != EINTR)
			return "read";
		if (got > 0 && !write_whole(to, buffer, (size_t)got))
			return "write";
	}
}

static char kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return 'f';
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	case S_IFIFO:
		return 'p';
	default:
		return 's';
	}
}

static void put_record(const struct stat *found, const char *name)
{
	printf("%c %o %u %u %lld %lld.%09ld %s", kind_of(found->st_mode), (unsigned)found->st_mode & 07777, (unsigned)found->st_uid,
	       (unsigned)found->st_gid, (long long)found->st_size, (long long)found->st_mtim.tv_sec, found->st_mtim.tv_nsec, name);
	putchar(0);
}

static int finish(void)
{
	return fflush(stdout) == 0 ? 0 : refused("write");
}

static int stat_path(const char *path, int flags)
{
	struct stat found;
	int root = open_root();
	int fd = root < 0 ? -1 : open_in(root, path, O_PATH | flags);

	if (fd < 0 || fstat(fd, &found) < 0)
		return refused("open");
	put_record(&found, "");
	return finish();
}

static int list(const char *path)
{
	int root = open_root();
	int fd = root < 0 ? -1 : open_in(root, path, O_RDONLY | O_DIRECTORY);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);

	if (!folder)
		return refused("open");
	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(folder);
		if (!entry)
			return errno ? refused("list") : finish();
		struct stat found;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		/* An entry that vanished since is left out. */
		if (fstatat(fd, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) == 0)
			put_record(&found, entry->d_name);
		else if (errno != ENOENT)
			return refused("list");
	}
}

static int read_file(const char *path, const char *offset)
{
	int fd = open_file(path);

	if (fd < 0)
		return refused("open");
	if (lseek(fd, strtoll(offset, NULL, 10), SEEK_SET) < 0)
		return refused("seek");
	const char *failed = copy(fd, STDOUT_FILENO);
	return failed ? refused(failed) : 0;
}

/*
 * The content goes to an unnamed file, which leaves nothing behind on any failure; it gets its name when it is complete
 * and on the disk.
 */
static int write_file(const char *path, mode_t mode, bool keep_mode)
{
	struct place place;
	struct stat before;
	int error = find_target(path, &place);

	if (!error && names_no_directory(path, &place))
		error = ENOTDIR;
	if (error)
		return refuse(error, "open");
	bool exists = fstatat(place.folder, place.name, &before, AT_SYMLINK_NOFOLLOW) == 0;
	if (exists && !S_ISREG(before.st_mode))
		return refuse(S_ISDIR(before.st_mode) ? EISDIR : ENXIO, "open");
	if (!exists && ends_in_slash(path))
		return refuse(EISDIR, "open");
	int fd = openat(place.folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return refused("open");
	const char *failed = copy(STDIN_FILENO, fd);
	if (failed)
		return refused(failed);
	if (exists && keep_mode) {
		mode = before.st_mode & 07777;
		/* A process that may not change the owner keeps its own. */
		if (fchown(fd, before.st_uid, before.st_gid) < 0 && errno != EPERM)
			return refused("write");
	}
	if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
		return refused("write");
	/* A first name is not given in place of another: there is one before it, which whoever is killed there leaves. */
	char hidden[64];
	snprintf(hidden, sizeof(hidden), ".stillpoint-%d", (int)getpid());
	signal(SIGPIPE, SIG_IGN);
	int remover = start_remover(place.folder, hidden);
	if (remover < 0)
		return refused("fork");
	unlinkat(place.folder, hidden, 0);
	if (linkat(fd, "", place.folder, hidden, AT_EMPTY_PATH) < 0) {
		char own[32];
		snprintf(own, sizeof(own), "/proc/self/fd/%d", fd);
		if (linkat(AT_FDCWD, own, place.folder, hidden, AT_SYMLINK_FOLLOW) < 0)
			return refused("link");
	}
	if (renameat(place.folder, hidden, place.folder, place.name) < 0) {
		error = errno;
		unlinkat(place.folder, hidden, 0);
		return refuse(error, "rename");
	}
	if (write(remover, "", 1) < 0)
		return refused("write");
	return fsync(place.folder) == 0 ? 0 : refused("write");
}

static int make_directory(const char *path, mode_t mode, bool all)
{
	char part[PATH_MAX];
	size_t length = strlen(path);

	if (length >= sizeof(part))
		return refuse(ENAMETOOLONG, "mkdir");
	for (size_t end = 1; end <= length; end++) {
		if (end < length && (path[end] != '/' || !all))
			continue;
		struct place place;
		memcpy(part, path, end);
		part[end] = 0;
		if (strspn(part, "/") == end)
			continue;
		int error = find_place(part, &place);
		if (error)
			return refuse(error, "mkdir");
		struct stat found;
		if (mkdirat(place.folder, place.name, mode) == 0) {
			/* As requested, regardless of the umask. */
			fchmodat(place.folder, place.name, mode, 0);
		} else if (!all || errno != EEXIST) {
			return refused("mkdir");
		} else if (fstatat(place.folder, place.name, &found, 0) == 0 && !S_ISDIR(found.st_mode)) {
			return refuse(end < length ? ENOTDIR : EEXIST, "mkdir");
		}
		close(place.folder);
	}
	return 0;
}

static int remove_path(const char *path, bool all)
{
	struct place place;
	int error = find_place(path, &place);

	if (!error && names_no_directory(path, &place))
		error = ENOTDIR;
	if (error)
		return refuse(error, "remove");
	if (all) {
		struct stat found;
		if (fstatat(place.folder, place.name, &found, AT_SYMLINK_NOFOLLOW) < 0)
			return refused("remove");
		error = remove_tree(place.folder, place.name);
		return error ? refuse(error, "remove") : 0;
	}
	if (unlinkat(place.folder, place.name, 0) == 0)
		return 0;
	if (errno == EISDIR && unlinkat(place.folder, place.name, AT_REMOVEDIR) == 0)
		return 0;
	return refused("remove");
}

static int rename_path(const char *from, const char *to)
{
	struct place source, target;
	int error = find_place(from, &source);

	if (!error)
		error = find_place(to, &target);
	/* The source becomes what the target is to be. */
	if (!error && (names_no_directory(from, &source) || names_no_directory(to, &source)))
		error = ENOTDIR;
	if (error)
		return refuse(error, "rename");
	return renameat(source.folder, source.name, target.folder, target.name) == 0 ? 0 : refused("rename");
}

static int change_mode(const char *path, mode_t mode)
{
	struct place place;
	int error = find_target(path, &place);

	if (!error && names_no_directory(path, &place))
		error = ENOTDIR;
	if (error)
		return refuse(error, "chmod");
	return fchmodat(place.folder, place.name, mode, 0) == 0 ? 0 : refused("chmod");
}

static mode_t mode_of(const char *text)
{
	return (mode_t)strtoul(text, NULL, 8) & 07777;
}

static bool is_all(const char *text)
{
	return strcmp(text, "all") == 0;
}

int file_service(int argc, char **argv)
{
	const char *operation = argc > 1 ? argv[1] : "";
	const char *path = argc > 2 ? argv[2] : "";

	umask(0);
	if (strcmp(operation, "stat") == 0 && argc == 3)
		return stat_path(path, 0);
	if (strcmp(operation, "lstat") == 0 && argc == 3)
		return stat_path(path, O_NOFOLLOW);
	if (strcmp(operation, "list") == 0 && argc == 3)
		return list(path);
	if (strcmp(operation, "read") == 0 && argc == 4)
		return read_file(path, argv[3]);
	if (strcmp(operation, "write") == 0 && argc == 4)
		return write_file(path, strcmp(argv[3], "keep") == 0 ? 0644 : mode_of(argv[3]), strcmp(argv[3], "keep") == 0);
	if (strcmp(operation, "mkdir") == 0 && argc == 5)
		return make_directory(path, mode_of(argv[3]), is_all(argv[4]));
	if (strcmp(operation, "remove") == 0 && argc == 4)
		return remove_path(path, is_all(argv[3]));
	if (strcmp(operation, "rename") == 0 && argc == 4)
		return rename_path(path, argv[3]);
	if (strcmp(operation, "chmod") == 0 && argc == 4)
		return change_mode(path, mode_of(argv[3]));
	if (strcmp(operation, "pack") == 0 && argc == 3)
		return pack_directory(path);
	if (strcmp(operation, "unpack") == 0 && argc == 4)
		return unpack_directory(path, strcmp(argv[3], "merged") == 0);
	if (strcmp(operation, "watch") == 0 && argc == 4)
		return watch_path(path, is_all(argv[3]));
	return refuse(EINVAL, "operation");
}
