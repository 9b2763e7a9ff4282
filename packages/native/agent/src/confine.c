#include "confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int dropped[] = {
	CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_SYS_RAWIO,	   CAP_SYS_MODULE, CAP_MKNOD,
	CAP_SYS_BOOT,  CAP_BPF,	       CAP_PERFMON, CAP_SYS_TTY_CONFIG,
};

int confine_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2];

	if (syscall(SYS_capget, &header, sets) < 0)
		return errno;
	for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++) {
		int capability = dropped[i];
		/* A kernel older than the capability has nothing to drop. */
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno != EINVAL)
			return errno;
		uint32_t mask = ~(UINT32_C(1) << (capability % 32));
		sets[capability / 32].effective &= mask;
		sets[capability / 32].permitted &= mask;
		sets[capability / 32].inheritable &= mask;
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return errno;
	return syscall(SYS_capset, &header, sets) < 0 ? errno : 0;
}
