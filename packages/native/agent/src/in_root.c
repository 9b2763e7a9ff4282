#include "in_root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As many links as a kernel follows. */
enum { PATH_BYTES = 4096, LINKS_MAX = 40 };

static int open_in(int root, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/* The mode is set regardless of the agent's umask. */
static bool make_in(int folder, const char *name, mode_t mode)
{
	mode_t mask = umask(0);
	bool made = mkdirat(folder, name, mode) == 0;

	umask(mask);
	return made;
}

/* Puts where the link leads in the place of the path's name from `start` to `end`, which ends there. */
static bool follow(int folder, char path[PATH_BYTES], size_t start, size_t end)
{
	char target[PATH_BYTES], whole[PATH_BYTES];
	const char *name = path + start;
	char after = path[end];

	path[end] = 0;
	ssize_t length = readlinkat(folder, name, target, sizeof(target));
	path[end] = after;
	if (length < 0)
		return false;
	int before = length > 0 && target[0] == '/' ? 0 : (int)start;
	if (snprintf(whole, sizeof(whole), "%.*s%.*s%s", before, path, (int)length, target, path + end) >= PATH_BYTES) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(path, whole, sizeof(whole));
	return true;
}

/* The target of a dangling link is created as a folder too. */
int in_root_folder_of_mode(int root, const char *wanted, mode_t mode)
{
	char path[PATH_BYTES], part[PATH_BYTES];
	int folder = open_in(root, "/", O_PATH | O_DIRECTORY), links = 0;
	size_t start, end = 0;

	if (folder >= 0 && snprintf(path, sizeof(path), "%s", wanted) >= PATH_BYTES) {
		close(folder);
		errno = ENAMETOOLONG;
		return -1;
	}
	while (folder >= 0) {
		start = end + strspn(path + end, "/");
		end = start + strcspn(path + start, "/");
		if (start == end)
			break;
		memcpy(part, path, end);
		part[end] = 0;
		int next = open_in(root, part, O_PATH | O_DIRECTORY);
		if (next < 0 && errno == ENOENT) {
			if (make_in(folder, part + start, path[end] ? 0755 : mode)) {
				next = open_in(root, part, O_PATH | O_DIRECTORY);
			} else if (errno == EEXIST && links++ < LINKS_MAX && follow(folder, path, start, end)) {
				end = 0;
				next = open_in(root, "/", O_PATH | O_DIRECTORY);
			}
		}
		int error = errno;
		close(folder);
		errno = error;
		folder = next;
	}
	return folder;
}

int in_root_folder(int root, const char *path)
{
	return in_root_folder_of_mode(root, path, 0755);
}

char *in_root_read(int root, const char *path, uint64_t *size)
{
	struct stat known = { .st_size = 0 };
	int fd = open_in(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	char *text = NULL;
	size_t filled = 0;

	if (fd < 0)
		return errno == ENOENT ? calloc(1, 1) : NULL;
	errno = EINVAL;
	if (fstat(fd, &known) == 0 && S_ISREG(known.st_mode)) {
		if (known.st_size > IN_ROOT_FILE_MAX)
			errno = EFBIG;
		else
			text = malloc((size_t)known.st_size + 1);
	}
	if (size)
		*size = (uint64_t)known.st_size;
	for (ssize_t got; text && filled < (size_t)known.st_size &&
			  (got = read(fd, text + filled, (size_t)known.st_size - filled)) > 0;)
		filled += (size_t)got;
	if (text)
		text[filled] = 0;
	int error = errno;
	close(fd);
	errno = error;
	return text;
}

int in_root_write(int folder, const char *name, const char *text)
{
	size_t length = strlen(text);

	unlinkat(folder, name, 0);
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	int error = fd < 0 ? errno : 0;
	if (!error && write(fd, text, length) != (ssize_t)length)
		error = ENOSPC;
	if (fd >= 0)
		close(fd);
	return error;
}

struct descriptor_path descriptor_path(int fd)
{
	struct descriptor_path path;

	snprintf(path.bytes, sizeof(path.bytes), "/proc/self/fd/%d", fd);
	return path;
}
