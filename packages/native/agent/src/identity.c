#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "console.h"
#include "environment.h"
#include "hosts.h"
#include "identity_record.h"
#include "mounts.h"
#include "root.h"

enum { MACHINE_ID_LENGTH = 32 };

static const char *check(const struct identity *identity)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
	size_t hostname_length = strlen(identity->hostname);
	size_t machine_id_length = strlen(identity->machine_id);

	if (identity->entropy.length < LIMIT_ENTROPY_LEAST_BYTES || identity->entropy.length > LIMIT_ENTROPY_BYTES)
		return "entropy must be 32 to 4096 bytes";
	if (hostname_length > LIMIT_HOSTNAME_BYTES || strspn(identity->hostname, letters) != hostname_length)
		return "a hostname is at most 64 letters, digits, dots and hyphens";
	if (machine_id_length > 0 && (machine_id_length != MACHINE_ID_LENGTH ||
				      strspn(identity->machine_id, "0123456789abcdef") != machine_id_length))
		return "a machine id is 32 lower-case hexadecimal digits";
	for (uint32_t i = 0; i < identity->environment.count; i++) {
		const char *item = identity->environment.items[i];
		if (item[0] == '=' || !strchr(item, '='))
			return "an environment item is NAME=value";
	}
	if (identity->signal < 0 || identity->signal > SIGRTMAX)
		return "a signal is 1 to 64, or 0 for the configured one";
	return NULL;
}

static int reseed(struct slice entropy)
{
	/* The ioctl takes two ints and the bytes behind them; it credits 8 bits of entropy for each byte. */
	struct rand_pool_info *pool = malloc(sizeof(*pool) + entropy.length);
	int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
	int error = 0;

	if (!pool || fd < 0) {
		error = pool ? errno : ENOMEM;
	} else {
		pool->entropy_count = (int)entropy.length * 8;
		pool->buf_size = (int)entropy.length;
		memcpy(pool->buf, entropy.data, entropy.length);
		/* The second makes every copy of the old generator state, those of other processors too, out of date. */
		if (ioctl(fd, RNDADDENTROPY, pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
			error = errno;
		explicit_bzero(pool->buf, entropy.length);
	}
	if (fd >= 0)
		close(fd);
	free(pool);
	return error;
}

/*
 * Discards the bytes that the kernel has already fetched from the machine's entropy device, which all clones share: a cache
 * line in the driver and one in front of it. Later bytes are this machine's own. Does nothing without a device.
 */
static void discard_fetched_entropy(void)
{
	char fetched[512];
	int fd = open("/dev/hwrng", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return;
	for (int i = 0; i < 2 && read(fd, fetched, sizeof(fetched)) > 0; i++)
		;
	explicit_bzero(fetched, sizeof(fetched));
	close(fd);
}

int identity_set_clock(uint64_t nanos)
{
	struct timespec now = { (time_t)(nanos / 1000000000), (long)(nanos % 1000000000) };

	return clock_settime(CLOCK_REALTIME, &now) < 0 ? errno : 0;
}

/* Writes `text` and a newline into a new file: anything else at `path` is not followed. */
static int write_new(const char *path, const char *text)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	struct iovec line[] = { { (void *)text, strlen(text) }, { "\n", 1 } };
	int fd = open(path, flags, 0644);

	if (fd < 0 && errno == EEXIST) {
		unlink(path);
		fd = open(path, flags, 0644);
	}
	if (fd < 0)
		return errno;
	/* A short write to a file means that there is no room. */
	int error = writev(fd, line, 2) == (ssize_t)(line[0].iov_len + 1) ? 0 : ENOSPC;
	close(fd);
	return error;
}

/* Replaces the file at `path` by one line. A root that the workload has filled is enlarged by what that takes. */
static int write_line(const char *path, const char *beside, const char *text)
{
	int error = write_new(beside, text);

	if (error == ENOSPC && mounts_make_room() == 0)
		error = write_new(beside, text);
	if (!error && rename(beside, path) < 0)
		error = errno;
	return error;
}

/* In the root of an image the file is one of the agent's own, which lies over the image's. */
static int write_name(const char *own, const char *path, const char *beside, const char *text)
{
	int error = root_set_name(own, text);

	return error || root_entered() ? error : write_line(path, beside, text);
}

const char *identity_apply(const struct identity *identity, enum reject_reason *reason, int *error)
{
	const char *problem = check(identity);

	*error = 0;
	*reason = REASON_IDENTITY_INVALID;
	if (problem)
		return problem;
	*reason = REASON_ENTROPY_FAILED;
	if (!root_entered())
		mkdir("/etc", 0755);
	if ((*error = reseed(identity->entropy)))
		return "the random source cannot be reseeded";
	discard_fetched_entropy();
	*reason = REASON_NAME_FAILED;
	if (*identity->hostname) {
		char before[LIMIT_HOSTNAME_BYTES + 1] = { 0 };
		gethostname(before, sizeof(before) - 1);
		if (sethostname(identity->hostname, strlen(identity->hostname)) < 0) {
			*error = errno;
			return "the hostname cannot be set";
		}
		if ((*error = write_name("hostname", "/etc/hostname", "/etc/.hostname.partial", identity->hostname)))
			return "/etc/hostname cannot be written";
		/* A full disk does not prevent a clone: it has its identity, and reports the failure. */
		int unnamed = root_entered() ? hosts_rename(before, identity->hostname) : 0;
		if (unnamed)
			console_say("/etc/hosts has the name of before", NULL, unnamed);
	}
	if (*identity->machine_id &&
	    (*error = write_name("machine-id", "/etc/machine-id", "/etc/.machine-id.partial", identity->machine_id)))
		return "/etc/machine-id cannot be written";
	*reason = REASON_ENVIRONMENT_FAILED;
	if ((*error = environment_set_identity(identity->environment.items)))
		return "the environment cannot be kept";
	*reason = REASON_NAME_FAILED;
	if ((*error = identity_record_renew(identity->machine_id)))
		return "/run/stillpoint/identity cannot be written";
	*reason = REASON_CLOCK_FAILED;
	/* Last: the less lies between this and the acknowledgement, the truer the clock. */
	if (identity->realtime_nanos != 0 && (*error = identity_set_clock(identity->realtime_nanos)))
		return "the clock cannot be set";
	return NULL;
}
