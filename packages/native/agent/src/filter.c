#include "filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__riscv) && __riscv_xlen == 64
#define NATIVE_ARCHITECTURE AUDIT_ARCH_RISCV64
#elif defined(__x86_64__)
#define NATIVE_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "name this architecture's audit number"
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF(value, then, otherwise) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, then, otherwise)
#define ANSWER(action) BPF_STMT(BPF_RET | BPF_K, action)
#define REFUSE(error) ANSWER(SECCOMP_RET_ERRNO | (error))

/* Refuses a call whose argument `index` names PID 1. Arguments are little endian, and a pid is their lower half. */
#define NOT_FOR_PID_1(call, index) \
	IF(call, 0, 4), LOAD(args[index]), IF(1, 0, 1), REFUSE(EPERM), ANSWER(SECCOMP_RET_ALLOW)

static const struct sock_filter begin[] = { LOAD(arch), IF(NATIVE_ARCHITECTURE, 1, 0) };

/* Calls of another architecture have other numbers: a confined process has none. */
static const struct sock_filter foreign_refused[] = { REFUSE(ENOSYS), LOAD(nr) };
static const struct sock_filter foreign_allowed[] = { ANSWER(SECCOMP_RET_ALLOW), LOAD(nr) };

static const struct sock_filter confinement[] = {
#ifdef __x86_64__
	/* A second set of numbers for the same calls (x32), under the same architecture. */
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x40000000, 0, 1),
	REFUSE(ENOSYS),
#endif
	NOT_FOR_PID_1(SYS_prlimit64, 0),
	NOT_FOR_PID_1(SYS_sched_setscheduler, 0),
	NOT_FOR_PID_1(SYS_sched_setparam, 0),
	NOT_FOR_PID_1(SYS_sched_setattr, 0),
	NOT_FOR_PID_1(SYS_sched_setaffinity, 0),
	NOT_FOR_PID_1(SYS_ioprio_set, 1),
	IF(SYS_request_key, 0, 1),
	REFUSE(EPERM),
	/* Its rings bind and listen without a system call that could be noticed. */
	IF(SYS_io_uring_setup, 0, 1),
	REFUSE(ENOSYS),
	/*
	 * Opening or executing a file waits for the holder of a write lease; the result is that of a kernel without
	 * leases.
	 */
	IF(SYS_fcntl, 0, 6),
	LOAD(args[1]),
	IF(F_SETLEASE, 0, 3),
	LOAD(args[2]),
	IF(F_WRLCK, 0, 1),
	REFUSE(EINVAL),
	ANSWER(SECCOMP_RET_ALLOW),
};

/* The last four recognise a further notifying filter among all seccomp requests. */
static const struct sock_filter notification[] = {
	IF(SYS_listen, 6, 0),
	IF(SYS_bind, 5, 0),
	IF(SYS_seccomp, 0, 5),
	LOAD(args[0]),
	IF(SECCOMP_SET_MODE_FILTER, 0, 3),
	LOAD(args[1]),
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, SECCOMP_FILTER_FLAG_NEW_LISTENER, 0, 1),
	ANSWER(SECCOMP_RET_USER_NOTIF),
};

static const struct sock_filter end[] = { ANSWER(SECCOMP_RET_ALLOW) };

static void append(struct sock_filter **at, const struct sock_filter *rules, size_t bytes)
{
	memcpy(*at, rules, bytes);
	*at += bytes / sizeof(*rules);
}

/* Returns the kernel's result: a descriptor or 0, or -1. */
static int install(bool confined, bool notify, unsigned flags)
{
	struct sock_filter code[64], *at = code;

	_Static_assert(sizeof(begin) + sizeof(foreign_refused) + sizeof(confinement) + sizeof(notification) + sizeof(end) <=
			       sizeof(code),
		       "the filter has room");
	append(&at, begin, sizeof(begin));
	append(&at, confined ? foreign_refused : foreign_allowed, sizeof(foreign_refused));
	if (confined)
		append(&at, confinement, sizeof(confinement));
	if (notify)
		append(&at, notification, sizeof(notification));
	append(&at, end, sizeof(end));
	struct sock_fprog program = { (unsigned short)(at - code), code };
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

int filter_install(bool confined, bool notify, int *listener)
{
	*listener = -1;
	if (notify) {
		const unsigned flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
		*listener = install(confined, true, flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
		/* Before Linux 5.19 a signal may interrupt a call that the agent is already making; it is then made again. */
		if (*listener < 0 && errno == EINVAL)
			*listener = install(confined, true, flags);
	}
	/* A kernel that does not notify still refuses. */
	return *listener < 0 && confined && install(true, false, 0) < 0 ? errno : 0;
}
