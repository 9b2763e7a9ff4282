#include "file_unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive_extract.h"
#include "file_place.h"
#include "file_remover.h"

/* Whether a directory can be made there: nothing exists, or an empty one. Returns 0 or an errno. */
static int look_for_room(const struct place *place)
{
	int fd = openat(place->folder, place->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *there = fd < 0 ? NULL : fdopendir(fd);
	int entries = 0;

	if (!there)
		return errno == ENOENT ? 0 : errno == ENOTDIR || errno == ELOOP ? EEXIST : errno;
	/* Itself and the one above it are two. */
	while (entries <= 2 && readdir(there))
		entries++;
	closedir(there);
	return entries > 2 ? ENOTEMPTY : 0;
}

static int unpack_anew(const char *path)
{
	struct place place;
	char hidden[64];
	int error = find_place(path, &place);

	if (!error)
		error = look_for_room(&place);
	if (error)
		return refuse(error, "mkdir");
	snprintf(hidden, sizeof(hidden), ".stillpoint-%d", (int)getpid());
	signal(SIGPIPE, SIG_IGN);
	int remover = start_remover(place.folder, hidden);
	if (remover < 0)
		return refused("fork");
	const char *failed = NULL;
	int top = -1;
	if (mkdirat(place.folder, hidden, 0755) < 0)
		failed = "mkdir";
	else if ((top = openat(place.folder, hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		failed = "open";
	else
		failed = extract_archive(top);
	/* Everything is on the disk before it has its name. */
	if (!failed && syncfs(top) < 0)
		failed = "write";
	if (!failed && renameat(place.folder, hidden, place.folder, place.name) < 0)
		failed = "rename";
	error = errno;
	if (failed)
		remove_tree(place.folder, hidden);
	if (write(remover, "", 1) < 0 && !failed)
		return refused("write");
	if (failed)
		return refuse(error, failed);
	return fsync(place.folder) == 0 ? 0 : refused("write");
}

int unpack_directory(const char *path, bool merged)
{
	if (!merged)
		return unpack_anew(path);
	int root = open_root();
	int top = root < 0 ? -1 : open_in(root, path, O_RDONLY | O_DIRECTORY);
	if (top < 0)
		return refused("open");
	const char *failed = extract_archive(top);
	if (!failed && syncfs(top) < 0)
		failed = "write";
	return failed ? refuse(errno, failed) : 0;
}
