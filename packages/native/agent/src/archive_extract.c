#include "archive_extract.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "archive_form.h"
#include "file_place.h"

enum { PIECE_BYTES = 256 * 1024, DEPTH_MAX = PATH_MAX / 2 + 2 };

static uint8_t piece[PIECE_BYTES];
static size_t begin, end;

/* The directory that is made; the folder of the entry before, and its path. */
static int top = -1, folder = -1;
static char folder_path[PATH_MAX];

/* The directories of the entry: adding a file changes a directory's time, which is set after the last one. */
static struct {
	size_t length;
	struct timespec time;
} open_directories[DEPTH_MAX];
static size_t depth;
static char open_path[PATH_MAX];

/* The problem with the archive, and its place. */
static char wrong[PATH_MAX + 256];

static struct archive_entry entry;
static struct archive_records records;

/* Each of these returns null, or what failed, with errno set; 0 if it is the archive. */

static const char *fail(const char *problem)
{
	if (entry.path[0])
		snprintf(wrong, sizeof(wrong), "%s: %s", entry.path, problem);
	else
		snprintf(wrong, sizeof(wrong), "%s", problem);
	errno = 0;
	return wrong;
}

static const char *fill(void)
{
	begin = end = 0;
	for (;;) {
		ssize_t got = read(STDIN_FILENO, piece, sizeof(piece));
		if (got > 0)
			end = (size_t)got;
		if (got >= 0)
			return NULL;
		if (errno != EINTR)
			return "read";
	}
}

/* The next bytes, as many as there are, at most `most`. */
static const char *take(uint64_t most, const uint8_t **bytes, size_t *length)
{
	const char *failed = begin == end ? fill() : NULL;

	if (failed)
		return failed;
	if (begin == end)
		return fail("expected the rest of it, found the end of the archive");
	*bytes = piece + begin;
	*length = most < end - begin ? (size_t)most : end - begin;
	begin += *length;
	return NULL;
}

static const char *take_all(uint8_t *into, size_t length)
{
	const char *failed = NULL;

	while (!failed && length > 0) {
		const uint8_t *bytes;
		size_t part;
		failed = take(length, &bytes, &part);
		if (!failed) {
			memcpy(into, bytes, part);
			into += part;
			length -= part;
		}
	}
	return failed;
}

/* Content, into a file or nowhere, and what fills its last block. */
static const char *take_content(int fd, uint64_t size)
{
	const char *failed = NULL;
	uint64_t padding = -size % ARCHIVE_BLOCK_BYTES;

	while (!failed && (size > 0 || padding > 0)) {
		const uint8_t *bytes;
		size_t part;
		failed = take(size > 0 ? size : padding, &bytes, &part);
		if (failed)
			break;
		if (size > 0 && fd >= 0 && !write_whole(fd, bytes, part))
			failed = "write";
		*(size > 0 ? &size : &padding) -= part;
	}
	return failed;
}

/* Below the directory, and through no link. */
static int open_below(const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, top, *path ? path : ".", &how, sizeof(how));
}

/* The folder of a plain path, with missing parents created, and the name there. */
static const char *find_folder(const char *plain, const char **name)
{
	const char *slash = strrchr(plain, '/');
	size_t length = slash ? (size_t)(slash - plain) : 0;
	char above[PATH_MAX];

	*name = slash ? slash + 1 : plain;
	memcpy(above, plain, length);
	above[length] = 0;
	if (folder >= 0 && strcmp(above, folder_path) == 0)
		return NULL;
	if (folder >= 0)
		close(folder);
	folder = open_below(above, O_RDONLY | O_DIRECTORY);
	for (size_t at = 0; folder < 0 && errno == ENOENT && at <= length; at++) {
		if (at < length && above[at] != '/')
			continue;
		/* One more missing folder; its parent exists by now. */
		char part[PATH_MAX];
		memcpy(part, above, at);
		part[at] = 0;
		char *last = strrchr(part, '/');
		if (last)
			*last = 0;
		int parent = open_below(last ? part : "", O_RDONLY | O_DIRECTORY);
		if (parent < 0)
			break;
		bool made = mkdirat(parent, last ? last + 1 : part, 0755) == 0 || errno == EEXIST;
		int error = errno;
		close(parent);
		errno = error;
		if (!made)
			break;
		errno = ENOENT;
	}
	if (folder < 0)
		folder = open_below(above, O_RDONLY | O_DIRECTORY);
	if (folder < 0)
		return errno == ELOOP ? fail("expected directories above it, found a link") : "open";
	strcpy(folder_path, above);
	return NULL;
}

/* Sets the times of the directories that a path does not lie in. */
static void leave_directories(const char *plain)
{
	while (depth > 0) {
		size_t length = open_directories[depth - 1].length;
		if (plain && strncmp(plain, open_path, length) == 0 && (length == 0 ? *plain : plain[length] == '/'))
			return;
		open_path[length] = 0;
		const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, open_directories[--depth].time };
		int fd = open_below(open_path, O_RDONLY | O_DIRECTORY);
		if (fd >= 0) {
			futimens(fd, times);
			close(fd);
		}
	}
}

static void enter_directory(const char *plain)
{
	strcpy(open_path, plain);
	open_directories[depth].length = strlen(plain);
	open_directories[depth++].time = (struct timespec){ entry.seconds, entry.nanos };
}

/* Makes room for a file: an existing directory stays, and is reported. */
static const char *clear(const char *name)
{
	return unlinkat(folder, name, 0) == 0 || errno == ENOENT ? NULL : "remove";
}

static const char *own(int fd)
{
	/* The owner first, because setting it clears set-id bits. */
	return fchown(fd, entry.uid, entry.gid) < 0 || fchmod(fd, entry.mode) < 0 ? "write" : NULL;
}

static const char *make_folder(const char *name, const char *plain)
{
	if (*plain && mkdirat(folder, name, 0700) < 0 && errno != EEXIST)
		return "mkdir";
	int fd = openat(*plain ? folder : top, *plain ? name : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ELOOP || errno == ENOTDIR ? (errno = EEXIST, "mkdir") : "mkdir";
	const char *failed = own(fd);
	int error = errno;
	close(fd);
	errno = error;
	if (!failed)
		enter_directory(plain);
	return failed;
}

static const char *make_file(const char *name)
{
	const char *failed = clear(name);

	if (failed)
		return failed;
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return "open";
	failed = take_content(fd, entry.size);
	if (!failed)
		failed = own(fd);
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { entry.seconds, entry.nanos } };
	if (!failed && futimens(fd, times) < 0)
		failed = "write";
	int error = errno;
	if (close(fd) < 0 && !failed)
		return "write";
	errno = error;
	return failed;
}

/* One more name of a file that has come. */
static const char *make_hard_link(const char *name, const char *plain)
{
	char target[PATH_MAX], above[PATH_MAX];
	struct stat found;
	const char *problem = archive_plain_path(entry.target, target);

	if (problem)
		return fail(problem);
	if (strcmp(target, plain) == 0)
		return fail("expected a link to another file, found one to itself");
	strcpy(above, target);
	char *slash = strrchr(above, '/');
	const char *target_name = slash ? slash + 1 : above;
	if (slash)
		*slash = 0;
	int from = open_below(slash ? above : "", O_RDONLY | O_DIRECTORY);
	if (from < 0 || fstatat(from, target_name, &found, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(found.st_mode)) {
		if (from >= 0)
			close(from);
		return fail("expected a link to a file that came before, found none");
	}
	const char *failed = clear(name);
	if (!failed && linkat(from, target_name, folder, name, 0) < 0)
		failed = "link";
	int error = errno;
	close(from);
	errno = error;
	return failed;
}

/* A special file. */
static const char *make_special(const char *name)
{
	const char *failed = clear(name);
	dev_t device = makedev(entry.device_major, entry.device_minor);
	int made = 0;

	if (failed)
		return failed;
	if (entry.kind == ARCHIVE_LINK && !*entry.target)
		return fail("expected a link's target, found none");
	if (entry.kind == ARCHIVE_LINK)
		made = symlinkat(entry.target, folder, name);
	else if (entry.kind == ARCHIVE_PIPE)
		made = mkfifoat(folder, name, 0600);
	else
		made = mknodat(folder, name, 0600 | (entry.kind == ARCHIVE_BLOCK_DEVICE ? S_IFBLK : S_IFCHR), device);
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { entry.seconds, entry.nanos } };
	if (made < 0)
		return "mknod";
	if (fchownat(folder, name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) < 0)
		return "write";
	/* It may have become a link since: a mode is given to no other file. */
	int fd = entry.kind == ARCHIVE_LINK ? -1 : openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0) {
		struct stat found;
		char path[32];
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		bool changed = fstat(fd, &found) == 0 && !S_ISLNK(found.st_mode) && chmod(path, entry.mode) == 0;
		close(fd);
		if (!changed)
			return "chmod";
	}
	return utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? "write" : NULL;
}

static const char *make_entry(void)
{
	char plain[PATH_MAX];
	const char *name;
	const char *problem = archive_plain_path(entry.path, plain);

	if (problem)
		return fail(problem);
	if (!*plain && entry.kind != ARCHIVE_DIRECTORY)
		return fail("expected a name, found none");
	leave_directories(plain);
	const char *failed = find_folder(plain, &name);
	if (failed)
		return failed;
	if (entry.kind == ARCHIVE_FILE)
		return make_file(name);
	/* Links have no data, whatever their size field: some programs store their file's size. */
	if (entry.kind != ARCHIVE_HARD_LINK && entry.kind != ARCHIVE_LINK && entry.size > 0)
		return fail("expected no content, found some");
	if (entry.kind == ARCHIVE_DIRECTORY)
		return make_folder(name, plain);
	return entry.kind == ARCHIVE_HARD_LINK ? make_hard_link(name, plain) : make_special(name);
}

/* The headers before an entry: records, or a long name. */
static const char *take_records(void)
{
	static uint8_t bytes[ARCHIVE_RECORDS_MAX + 1];
	size_t size = (size_t)entry.size;

	if (entry.size > ARCHIVE_RECORDS_MAX)
		return fail("expected at most 131072 bytes of records, found more");
	const char *failed = take_all(bytes, size);
	uint8_t padding[ARCHIVE_BLOCK_BYTES];
	if (!failed)
		failed = take_all(padding, (size_t)(-(uint64_t)size % ARCHIVE_BLOCK_BYTES));
	if (failed || entry.kind == ARCHIVE_RECORDS_OF_ALL)
		return failed;
	if (entry.kind == ARCHIVE_RECORDS) {
		const char *problem = archive_read_records(bytes, size, &records);
		return problem ? fail(problem) : NULL;
	}
	bytes[size] = 0;
	size_t length = strlen((const char *)bytes);
	if (length == 0 || length >= PATH_MAX)
		return fail("expected a long name of 1 to 4095 bytes, found another");
	bool is_path = entry.kind == ARCHIVE_LONG_PATH;
	*(is_path ? &records.has_path : &records.has_target) = true;
	strcpy(is_path ? records.path : records.target, (const char *)bytes);
	return NULL;
}

const char *extract_archive(int directory)
{
	top = directory;
	for (;;) {
		uint8_t block[ARCHIVE_BLOCK_BYTES];
		entry.path[0] = 0;
		const char *failed = take_all(block, sizeof(block));
		if (failed)
			return failed;
		if (archive_is_end(block)) {
			leave_directories(NULL);
			break;
		}
		const char *problem = archive_read_header(block, &entry);
		if (problem)
			return fail(problem);
		if (entry.kind >= ARCHIVE_RECORDS) {
			failed = take_records();
			if (failed)
				return failed;
			continue;
		}
		archive_apply(&records, &entry);
		memset(&records, 0, sizeof(records));
		failed = make_entry();
		if (failed)
			return failed;
	}
	/* Bytes behind the end marker are ignored. */
	const char *failed;
	do
		failed = fill();
	while (!failed && end > 0);
	return failed;
}
