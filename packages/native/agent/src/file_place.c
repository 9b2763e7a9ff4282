#include "file_place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LINKS_MAX = 40 };

int refuse(int error, const char *what)
{
	fprintf(stderr, "%d %s\n", error, what);
	return 1;
}

int refused(const char *what)
{
	return refuse(errno, what);
}

int open_in(int root, const char *path, int flags)
{
	struct open_how how = { .flags = (uint64_t)flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

int open_root(void)
{
	return open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int find_place(const char *path, struct place *place)
{
	char above[PATH_MAX];
	size_t length = strlen(path);

	while (length > 0 && path[length - 1] == '/')
		length--;
	size_t start = length;
	while (start > 0 && path[start - 1] != '/')
		start--;
	size_t name_length = length - start;
	if (length >= sizeof(above) || name_length > NAME_MAX)
		return ENAMETOOLONG;
	memcpy(place->name, path + start, name_length);
	place->name[name_length] = 0;
	if (name_length == 0 || strcmp(place->name, ".") == 0 || strcmp(place->name, "..") == 0)
		return EINVAL;
	memcpy(above, path, start);
	above[start] = 0;
	int root = open_root();
	place->folder = root < 0 ? -1 : open_in(root, start > 0 ? above : "/", O_RDONLY | O_DIRECTORY);
	int error = place->folder < 0 ? errno : 0;
	if (root >= 0)
		close(root);
	return error;
}

int find_target(const char *path, struct place *place)
{
	char at[PATH_MAX], next[PATH_MAX], link[PATH_MAX];

	if (strlen(path) >= sizeof(at))
		return ENAMETOOLONG;
	strcpy(at, path);
	for (int links = 0; links < LINKS_MAX; links++) {
		int error = find_place(at, place);
		if (error)
			return error;
		ssize_t length = readlinkat(place->folder, place->name, link, sizeof(link) - 1);
		if (length < 0)
			return errno == EINVAL || errno == ENOENT ? 0 : errno;
		link[length] = 0;
		close(place->folder);
		const char *slash = strrchr(at, '/');
		int folder_length = link[0] == '/' || !slash ? 0 : (int)(slash - at) + 1;
		if (snprintf(next, sizeof(next), "%.*s%s", folder_length, at, link) >= (int)sizeof(next))
			return ENAMETOOLONG;
		strcpy(at, next);
	}
	return ELOOP;
}

bool write_whole(int fd, const uint8_t *bytes, size_t length)
{
	while (length > 0) {
		ssize_t written = write(fd, bytes, length);
		if (written < 0 && errno != EINTR)
			return false;
		if (written > 0) {
			bytes += written;
			length -= (size_t)written;
		}
	}
	return true;
}

int remove_tree(int folder, const char *name)
{
	if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return errno;
	int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *below = fd < 0 ? NULL : fdopendir(fd);
	if (!below)
		return errno;
	int error = 0;
	for (const struct dirent *entry; !error && (entry = readdir(below));) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			error = remove_tree(fd, entry->d_name);
	}
	closedir(below);
	if (!error && unlinkat(folder, name, AT_REMOVEDIR) < 0)
		error = errno;
	return error;
}
