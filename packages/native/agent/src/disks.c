#include "disks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

#define FOLDER "/sys/block"

/* Number of checks for a slot's new size, this far apart. */
enum { TRIES = 2000 };
static const struct timespec pause_between = { 0, 500000 };

/* The first line of a disk's attribute, without its end; "" if it has none. */
static void attribute(const char *disk, const char *name, char *into, size_t room)
{
	struct text path;

	text_start(&path, FOLDER "/");
	text_add(&path, disk);
	text_add(&path, name);
	int fd = open(path.bytes, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? 0 : read(fd, into, room - 1);
	if (fd >= 0)
		close(fd);
	into[length < 0 ? 0 : length] = 0;
	into[strcspn(into, "\n")] = 0;
}

static bool has_serial(const char *disk, const char *wanted)
{
	char serial[64];

	attribute(disk, "/serial", serial, sizeof(serial));
	return strcmp(serial, wanted) == 0;
}

static bool has_size(const char *disk)
{
	char sectors[32];

	attribute(disk, "/size", sectors, sizeof(sectors));
	return strtoull(sectors, NULL, 10) > 0;
}

/* The disk's name in the kernel, as vda. */
static int find_name(const char *wanted, char name[DISK_PATH_MAX])
{
	struct stat known;
	DIR *folder = NULL;
	int error = ENODEV;

	if (strncmp(wanted, "/dev/", 5) == 0) {
		const char *base = wanted + 5;
		if (strchr(base, '/') || strlen(base) >= DISK_PATH_MAX - 5)
			return ENODEV;
		if (stat(wanted, &known) < 0 || !S_ISBLK(known.st_mode))
			return ENODEV;
		strcpy(name, base);
		return 0;
	}
	folder = opendir(FOLDER);
	for (struct dirent *entry; folder && (entry = readdir(folder));) {
		if (entry->d_name[0] == '.' || strlen(entry->d_name) >= DISK_PATH_MAX - 5 || !has_serial(entry->d_name, wanted))
			continue;
		strcpy(name, entry->d_name);
		error = 0;
		break;
	}
	if (folder)
		closedir(folder);
	return error;
}

int disk_find(const char *wanted, char path[DISK_PATH_MAX])
{
	char name[DISK_PATH_MAX];
	int error = ENODEV;

	/* The driver may still be probing, too. */
	for (int i = 0; i < TRIES; i++) {
		error = *wanted ? find_name(wanted, name) : ENODEV;
		if (!error && has_size(name)) {
			strcpy(path, "/dev/");
			strcat(path, name);
			return 0;
		}
		if (!error)
			error = ENOMEDIUM;
		nanosleep(&pause_between, NULL);
	}
	return error;
}

void disks_hide(void)
{
	DIR *folder = opendir(FOLDER);

	for (struct dirent *entry; folder && (entry = readdir(folder));) {
		struct text path;
		text_start(&path, "/dev/");
		text_add(&path, entry->d_name);
		if (entry->d_name[0] != '.')
			unlink(path.bytes);
	}
	if (folder)
		closedir(folder);
}
