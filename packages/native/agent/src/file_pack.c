#include "file_pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "archive_form.h"
#include "file_place.h"

enum {
	PIECE_BYTES = 256 * 1024,
	/* Files with several names that are remembered, and their paths; of more, each name is a file of its own. */
	LINKED_MAX = 1 << 16,
	LINKED_BYTES = 8 << 20,
};

struct linked {
	dev_t device;
	ino_t inode;
	char *path;
};

static uint8_t piece[PIECE_BYTES];
static size_t filled;
static struct linked linked[LINKED_MAX];
static size_t linked_count, linked_bytes;
static dev_t device;

static struct archive_entry entry;
/* The path of the entry, below the directory. */
static char path_below[PATH_MAX];

/* Each of these returns null, or what failed, with errno set. */

static const char *flush(void)
{
	bool done = write_whole(STDOUT_FILENO, piece, filled);

	filled = 0;
	return done ? NULL : "write";
}

static const char *put(const uint8_t *bytes, size_t length)
{
	const char *failed = NULL;

	while (!failed && length > 0) {
		size_t part = length < sizeof(piece) - filled ? length : sizeof(piece) - filled;
		memcpy(piece + filled, bytes, part);
		filled += part;
		bytes += part;
		length -= part;
		if (filled == sizeof(piece))
			failed = flush();
	}
	return failed;
}

static const char *put_padding(uint64_t length)
{
	static const uint8_t none[ARCHIVE_BLOCK_BYTES];

	return put(none, (size_t)(-length % ARCHIVE_BLOCK_BYTES));
}

static const char *put_headers(const struct stat *found, enum archive_kind kind)
{
	static uint8_t headers[ARCHIVE_HEADERS_MAX];
	size_t length = strlen(path_below);

	entry.kind = kind;
	strcpy(entry.path, length > 0 ? path_below : ".");
	if (kind == ARCHIVE_DIRECTORY)
		strcat(entry.path, "/");
	if (kind != ARCHIVE_LINK && kind != ARCHIVE_HARD_LINK)
		entry.target[0] = 0;
	entry.mode = found->st_mode & 07777;
	entry.uid = found->st_uid;
	entry.gid = found->st_gid;
	entry.size = kind == ARCHIVE_FILE ? (uint64_t)found->st_size : 0;
	entry.seconds = found->st_mtim.tv_sec;
	entry.nanos = (uint32_t)found->st_mtim.tv_nsec;
	entry.device_major = S_ISCHR(found->st_mode) || S_ISBLK(found->st_mode) ? major(found->st_rdev) : 0;
	entry.device_minor = S_ISCHR(found->st_mode) || S_ISBLK(found->st_mode) ? minor(found->st_rdev) : 0;
	return put(headers, archive_write_headers(&entry, headers));
}

/* Whether a file is in the archive already; the entry's target is then its first name there. */
static bool was_packed(const struct stat *found)
{
	size_t at = (size_t)((found->st_ino * 0x9e3779b97f4a7c15u) >> 40) % LINKED_MAX;

	while (linked[at].path && (linked[at].inode != found->st_ino || linked[at].device != found->st_dev))
		at = (at + 1) % LINKED_MAX;
	if (linked[at].path) {
		strcpy(entry.target, linked[at].path);
		return true;
	}
	size_t length = strlen(path_below);
	if (linked_count < LINKED_MAX / 2 && linked_bytes + length < LINKED_BYTES && (linked[at].path = strdup(path_below))) {
		linked[at].inode = found->st_ino;
		linked[at].device = found->st_dev;
		linked_count++;
		linked_bytes += length;
	}
	return false;
}

/* A file's content has the length in its header: one that grows is cut, one that shrinks fails. */
static const char *put_file(int folder, const char *name, const struct stat *known)
{
	struct stat found;
	int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	const char *failed = NULL;

	if (fd < 0)
		return errno == ENOENT ? NULL : "open";
	if (fstat(fd, &found) < 0 || found.st_ino != known->st_ino || !S_ISREG(found.st_mode)) {
		close(fd);
		errno = ESTALE;
		return "open";
	}
	if (found.st_nlink > 1 && was_packed(&found)) {
		close(fd);
		return put_headers(&found, ARCHIVE_HARD_LINK);
	}
	failed = put_headers(&found, ARCHIVE_FILE);
	for (uint64_t left = (uint64_t)found.st_size; !failed && left > 0;) {
		size_t room = sizeof(piece) - filled;
		ssize_t got = read(fd, piece + filled, left < room ? (size_t)left : room);
		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = ESTALE;
		if (got <= 0) {
			failed = "read";
			break;
		}
		filled += (size_t)got;
		left -= (uint64_t)got;
		if (filled == sizeof(piece))
			failed = flush();
	}
	int error = errno;
	close(fd);
	errno = error;
	return failed ? failed : put_padding((uint64_t)found.st_size);
}

static const char *put_below(int fd);

static const char *put_directory(int folder, const char *name, const struct stat *known)
{
	const char *failed = put_headers(known, ARCHIVE_DIRECTORY);

	if (failed || known->st_dev != device)
		return failed;
	int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? NULL : "open";
	return put_below(fd);
}

static const char *put_entry(int folder, const char *name)
{
	struct stat found;
	ssize_t length;

	/* A file that vanished since is left out. */
	if (fstatat(folder, name, &found, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? NULL : "list";
	switch (found.st_mode & S_IFMT) {
	case S_IFREG:
		return put_file(folder, name, &found);
	case S_IFDIR:
		return put_directory(folder, name, &found);
	case S_IFLNK:
		length = readlinkat(folder, name, entry.target, sizeof(entry.target) - 1);
		if (length < 0)
			return errno == ENOENT ? NULL : "open";
		entry.target[length] = 0;
		return put_headers(&found, ARCHIVE_LINK);
	case S_IFIFO:
		return put_headers(&found, ARCHIVE_PIPE);
	case S_IFCHR:
		return put_headers(&found, ARCHIVE_CHARACTER_DEVICE);
	case S_IFBLK:
		return put_headers(&found, ARCHIVE_BLOCK_DEVICE);
	default:
		return NULL;
	}
}

/* Everything below a directory, which is closed. */
static const char *put_below(int fd)
{
	DIR *folder = fdopendir(fd);
	size_t length = strlen(path_below);
	const char *failed = NULL;

	if (!folder) {
		close(fd);
		return "open";
	}
	while (!failed) {
		errno = 0;
		const struct dirent *found = readdir(folder);
		if (!found) {
			failed = errno ? "list" : NULL;
			break;
		}
		if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
			continue;
		/* A directory's has a slash behind it. */
		if (length + strlen(found->d_name) + 3 > sizeof(path_below)) {
			errno = ENAMETOOLONG;
			failed = "list";
			break;
		}
		if (length > 0)
			path_below[length] = '/';
		strcpy(path_below + length + (length > 0), found->d_name);
		failed = put_entry(fd, found->d_name);
		path_below[length] = 0;
	}
	int error = errno;
	closedir(folder);
	errno = error;
	return failed;
}

int pack_directory(const char *path)
{
	static const uint8_t end[2 * ARCHIVE_BLOCK_BYTES];
	struct stat found;
	int root = open_root();
	int fd = root < 0 ? -1 : open_in(root, path, O_RDONLY | O_DIRECTORY);

	if (fd < 0 || fstat(fd, &found) < 0)
		return refused("open");
	device = found.st_dev;
	const char *failed = put_headers(&found, ARCHIVE_DIRECTORY);
	if (!failed)
		failed = put_below(fd);
	if (!failed)
		failed = put(end, sizeof(end));
	if (!failed)
		failed = flush();
	return failed ? refused(failed) : 0;
}
