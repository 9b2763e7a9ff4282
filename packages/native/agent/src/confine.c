#include "confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "scheduling.h"

static const int dropped[] = {
	CAP_SYS_ADMIN,	CAP_SYS_PTRACE,	     CAP_SYS_RAWIO, CAP_SYS_MODULE,	 CAP_MKNOD,
	CAP_SYS_BOOT,	CAP_BPF,	     CAP_PERFMON,   CAP_SYS_TTY_CONFIG,	 CAP_SYS_NICE,
	CAP_SYS_PACCT,	CAP_SYS_RESOURCE,    CAP_MAC_ADMIN, CAP_MAC_OVERRIDE,	 CAP_LINUX_IMMUTABLE,
	CAP_WAKE_ALARM, CAP_BLOCK_SUSPEND,   CAP_LEASE,	    CAP_AUDIT_CONTROL,	 CAP_AUDIT_READ,
	CAP_CHECKPOINT_RESTORE,
};

/* The bounding set that children begin with has none of them any more. */
static bool are_confined;

/* Open files per process that a kernel allows by default. */
enum { FILES_MAX = 1048576 };

static void allow(int resource, rlim_t soft, rlim_t hard)
{
	struct rlimit limit = { soft, hard };

	/* A kernel that allows less keeps its limit. */
	setrlimit(resource, &limit);
}

static void raise_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		allow(RLIMIT_NOFILE, files.rlim_cur, FILES_MAX);
	/* Processes are limited by the control group. */
	allow(RLIMIT_NPROC, RLIM_INFINITY, RLIM_INFINITY);
	/* RLIMIT_NICE counts from 1 for a niceness of 19 up to 40 for one of -20. */
	allow(RLIMIT_NICE, 40, 40);
	allow(RLIMIT_RTPRIO, AGENT_PRIORITY - 1, AGENT_PRIORITY - 1);
}

int confine_children(void)
{
	for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++) {
		/* A kernel older than the capability has nothing to drop. */
		if (prctl(PR_CAPBSET_DROP, dropped[i], 0, 0, 0) < 0 && errno != EINVAL)
			return errno;
	}
	are_confined = true;
	return 0;
}

int confine_capabilities(void)
{
	int error = are_confined ? 0 : confine_children();

	if (error)
		return error;
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2];

	raise_limits();
	if (syscall(SYS_capget, &header, sets) < 0)
		return errno;
	for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++) {
		int capability = dropped[i];
		uint32_t mask = ~(UINT32_C(1) << (capability % 32));
		sets[capability / 32].effective &= mask;
		sets[capability / 32].permitted &= mask;
		sets[capability / 32].inheritable &= mask;
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return errno;
	return syscall(SYS_capset, &header, sets) < 0 ? errno : 0;
}
