#include "volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "disks.h"
#include "ext4_format.h"
#include "in_root.h"

enum { WORD_MAX = 64, VOLUMES_MAX = 64 };

/* The mount points of writable volumes. */
static char *written[VOLUMES_MAX];
static size_t written_count;

struct volume {
	bool read_only;
	char type[WORD_MAX];
	char device[WORD_MAX];
	const char *path;
};

/* Formats a disk that holds nothing. Returns 0 or an errno; `*formatted` says whether it was. */
static int format_if_empty(const char *disk, bool *formatted)
{
	uint64_t bytes = 0;
	uint8_t identity[32];
	int fd = open(disk, O_RDWR | O_CLOEXEC);
	int error = fd < 0 ? errno : 0;

	*formatted = false;
	if (!error && ext4_is_empty(fd)) {
		if (ioctl(fd, BLKGETSIZE64, &bytes) < 0 || getrandom(identity, sizeof(identity), 0) != (ssize_t)sizeof(identity))
			error = errno;
		identity[6] = (identity[6] & 0x0f) | 0x40;
		identity[8] = (identity[8] & 0x3f) | 0x80;
		if (!error)
			error = ext4_format(fd, bytes, identity, (uint32_t)time(NULL));
		*formatted = !error;
	}
	if (fd >= 0)
		close(fd);
	return error;
}

static bool take_word(const char **text, char word[WORD_MAX])
{
	size_t length = strcspn(*text, " ");

	if (length == 0 || length >= WORD_MAX || (*text)[length] != ' ')
		return false;
	memcpy(word, *text, length);
	word[length] = 0;
	*text += length + 1;
	return true;
}

static bool parse(const char *text, struct volume *volume)
{
	char access[WORD_MAX];

	if (!take_word(&text, access) || !take_word(&text, volume->type) || !take_word(&text, volume->device))
		return false;
	volume->read_only = strcmp(access, "ro") == 0;
	volume->path = text;
	return text[0] == '/' && text[1] && (volume->read_only || strcmp(access, "rw") == 0);
}

static bool mount_one(int root, const struct volume *volume, struct root_failure *failure)
{
	char disk[DISK_PATH_MAX];
	struct stat covered;
	bool formatted = false;
	int error = disk_find(volume->device, disk);

	if (error)
		return root_fail(failure, "volume", "no disk for the volume", volume->device, error);
	int folder = in_root_folder(root, volume->path);
	if (folder < 0 || fstat(folder, &covered) < 0)
		return root_fail(failure, "volume", "the volume has no folder", volume->path, errno);
	if (!volume->read_only && strcmp(volume->type, "ext4") == 0)
		error = format_if_empty(disk, &formatted);
	unsigned long flags = MS_NODEV | (volume->read_only ? MS_RDONLY : 0);
	/* A file system that is damaged refuses from then on, and does not take the machine along. */
	const char *options = strcmp(volume->type, "ext4") == 0 ? "errors=remount-ro" : NULL;
	if (!error && mount(disk, descriptor_path(folder).bytes, volume->type, flags, options) < 0)
		error = errno;
	close(folder);
	if (error)
		return root_fail(failure, "volume", "the volume cannot be mounted", volume->device, error);
	if (!formatted)
		return true;
	folder = in_root_folder(root, volume->path);
	if (folder < 0 || fchownat(folder, "", covered.st_uid, covered.st_gid, AT_EMPTY_PATH) < 0 ||
	    chmod(descriptor_path(folder).bytes, covered.st_mode & 07777) < 0)
		error = errno;
	if (folder >= 0)
		close(folder);
	return error ? root_fail(failure, "volume", "the volume cannot be given its owner", volume->device, error) : true;
}

bool volumes_mount(int root, char *const *volumes, struct root_failure *failure)
{
	written_count = 0;
	for (; *volumes; volumes++) {
		struct volume volume;
		if (!parse(*volumes, &volume))
			return root_fail(failure, "volume", "expected `rw|ro TYPE DEVICE PATH`", *volumes, EINVAL);
		if (!mount_one(root, &volume, failure))
			return false;
		if (!volume.read_only && written_count < VOLUMES_MAX)
			written[written_count++] = *volumes + (volume.path - *volumes);
	}
	return true;
}

bool volume_mount_scratch(const char *device, const char *folder, struct root_failure *failure)
{
	char disk[DISK_PATH_MAX];
	bool formatted;
	int error = disk_find(device, disk);

	if (error)
		return root_fail(failure, "scratch", "no scratch disk", device, error);
	error = format_if_empty(disk, &formatted);
	if (!error && mount(disk, folder, "ext4", MS_NODEV, "errors=remount-ro") < 0)
		error = errno;
	return error ? root_fail(failure, "scratch", "the scratch disk cannot be mounted", device, error) : true;
}

void volumes_close(void)
{
	while (written_count > 0) {
		const char *path = written[--written_count];
		if (umount2(path, UMOUNT_NOFOLLOW) < 0)
			mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL);
	}
}
