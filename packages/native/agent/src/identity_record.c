#include "identity_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "console.h"
#include "mounts.h"
#include "text.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

enum { BOOT_ID_LENGTH = 36, ENTROPY_BYTES = 32, LINES = 4 };

static uint64_t generation;
static struct text lines[LINES + 1];
/* Of the file that lies over the kernel's; empty before the first new identity. */
static char boot_id[BOOT_ID_LENGTH + 1];
static char *environment[LINES + 2];

static void hexadecimal(const uint8_t *bytes, size_t count, char *into)
{
	for (size_t i = 0; i < count; i++) {
		*into++ = "0123456789abcdef"[bytes[i] >> 4];
		*into++ = "0123456789abcdef"[bytes[i] & 15];
	}
	*into = 0;
}

/* Adds a file's first line. */
static void add_line_of(struct text *text, const char *path)
{
	char line[128];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t length = fd < 0 ? 0 : read(fd, line, sizeof(line) - 1);

	if (fd >= 0)
		close(fd);
	line[length < 0 ? 0 : length] = 0;
	line[strcspn(line, "\n")] = 0;
	text_add(text, line);
}

/* Empty: the machine id is the file's. */
static void describe(const char *machine_id)
{
	char hostname[65] = { 0 };

	gethostname(hostname, sizeof(hostname) - 1);
	text_start(&lines[0], "STILLPOINT_GENERATION=");
	text_add_number(&lines[0], generation);
	text_start(&lines[1], "STILLPOINT_HOSTNAME=");
	text_add(&lines[1], hostname);
	text_start(&lines[2], "STILLPOINT_MACHINE_ID=");
	if (*machine_id)
		text_add(&lines[2], machine_id);
	else
		add_line_of(&lines[2], "/etc/machine-id");
	text_start(&lines[3], "STILLPOINT_BOOT_ID=");
	if (*boot_id)
		text_add(&lines[3], boot_id);
	else
		add_line_of(&lines[3], BOOT_ID);
}

static int write_record(const char *machine_id)
{
	int folder = mounts_own_folder();
	int fd = openat(folder, "identity.partial", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int error = fd < 0 ? errno : 0;

	if (error)
		return error;
	describe(machine_id);
	struct iovec parts[2 * LINES];
	size_t total = 0;
	for (int i = 0; i < LINES; i++) {
		parts[2 * i] = (struct iovec){ lines[i].bytes, lines[i].length };
		parts[2 * i + 1] = (struct iovec){ "\n", 1 };
		total += lines[i].length + 1;
	}
	if (writev(fd, parts, 2 * LINES) != (ssize_t)total)
		error = ENOSPC;
	close(fd);
	if (!error && renameat(folder, "identity.partial", folder, "identity") < 0)
		error = errno;
	return error;
}

int identity_record_write(void)
{
	return write_record("");
}

/* A random UUID, version 4. */
static void draw_uuid(char text[BOOT_ID_LENGTH + 1])
{
	uint8_t bytes[16];
	char digits[33];

	if (getrandom(bytes, sizeof(bytes), 0) < 0)
		memset(bytes, 0, sizeof(bytes));
	bytes[6] = (bytes[6] & 0x0f) | 0x40;
	bytes[8] = (bytes[8] & 0x3f) | 0x80;
	hexadecimal(bytes, sizeof(bytes), digits);
	snprintf(text, BOOT_ID_LENGTH + 1, "%.8s-%.4s-%.4s-%.4s-%s", digits, digits + 8, digits + 12, digits + 16, digits + 20);
}

/* The kernel draws its boot id once; a file of the agent's lies over it from the first new identity on. */
static int renew_boot_id(void)
{
	char text[BOOT_ID_LENGTH + 1];
	int folder = mounts_own_folder();
	struct stat known;
	bool covered = fstatat(folder, "boot_id", &known, 0) == 0;
	int fd = openat(folder, "boot_id", O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
	int error = fd < 0 ? errno : 0;

	if (error)
		return error;
	draw_uuid(text);
	text[BOOT_ID_LENGTH] = '\n';
	if (pwrite(fd, text, BOOT_ID_LENGTH + 1, 0) != BOOT_ID_LENGTH + 1)
		error = ENOSPC;
	close(fd);
	if (!error && !covered && mount("/run/stillpoint/boot_id", BOOT_ID, NULL, MS_BIND, NULL) < 0)
		error = errno;
	/* What cannot be known is read again. */
	text[error ? 0 : BOOT_ID_LENGTH] = 0;
	strcpy(boot_id, text);
	return error;
}

int identity_record_renew(const char *machine_id)
{
	generation++;
	int error = renew_boot_id();
	if (error)
		console_say("the boot id stays as it is", BOOT_ID, error);
	return write_record(machine_id);
}

char *const *identity_record_environment(void)
{
	uint8_t entropy[ENTROPY_BYTES];
	char digits[2 * ENTROPY_BYTES + 1];

	text_start(&lines[LINES], "STILLPOINT_ENTROPY=");
	if (getrandom(entropy, sizeof(entropy), 0) == (ssize_t)sizeof(entropy)) {
		hexadecimal(entropy, sizeof(entropy), digits);
		text_add(&lines[LINES], digits);
	}
	for (int i = 0; i <= LINES; i++)
		environment[i] = lines[i].bytes;
	return environment;
}
