#include "filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
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

/*
 * A program is built from its end, since it can only jump forward. The kernel executes it for every number of a call when it is
 * installed, to learn which calls need not ask, and translates each instruction: so calls are looked for by halves, and what is
 * the same is there once.
 */
struct program {
	struct sock_filter code[80];
	unsigned at;
};

struct rule {
	uint32_t call;
	unsigned target;
};

/* Each of these adds an instruction in front and returns its place. */
static unsigned add(struct program *program, struct sock_filter instruction)
{
	program->code[--program->at] = instruction;
	return program->at;
}

static unsigned answer(struct program *program, uint32_t action)
{
	return add(program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

static unsigned load(struct program *program, size_t offset)
{
	return add(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static unsigned branch(struct program *program, unsigned test, uint32_t value, unsigned then, unsigned otherwise)
{
	unsigned next = program->at;

	return add(program, (struct sock_filter)BPF_JUMP((uint16_t)(BPF_JMP | test | BPF_K), value, (uint8_t)(then - next),
							 (uint8_t)(otherwise - next)));
}

/* Loads an argument and goes to `then` if it is the value. Arguments are little endian: this is the lower half of one. */
static unsigned argument(struct program *program, int index, unsigned test, uint32_t value, unsigned then,
			 unsigned otherwise)
{
	branch(program, test, value, then, otherwise);
	return load(program, offsetof(struct seccomp_data, args) + (size_t)index * sizeof(uint64_t));
}

/* Goes to the target of the rule for the loaded call, to `otherwise` if there is none. */
static unsigned choose(struct program *program, const struct rule *rules, size_t count, unsigned otherwise)
{
	size_t half = count / 2;

	if (count == 1)
		return branch(program, BPF_JEQ, rules[0].call, rules[0].target, otherwise);
	unsigned upper = choose(program, rules + half, count - half, otherwise);
	unsigned lower = choose(program, rules, half, otherwise);
	return branch(program, BPF_JGE, rules[half].call, upper, lower);
}

static void insert(struct rule *rules, size_t *count, uint32_t call, unsigned target)
{
	size_t at = (*count)++;

	for (; at > 0 && rules[at - 1].call > call; at--)
		rules[at] = rules[at - 1];
	rules[at] = (struct rule){ call, target };
}

/* Returns the kernel's result: a descriptor or 0, or -1. */
static int install(bool confined, bool notify, unsigned flags)
{
	struct program program = { .at = sizeof(program.code) / sizeof(program.code[0]) };
	struct rule rules[16];
	size_t count = 0;
	unsigned allow = answer(&program, SECCOMP_RET_ALLOW);
	unsigned absent = answer(&program, SECCOMP_RET_ERRNO | ENOSYS);

	if (confined) {
		unsigned refuse = answer(&program, SECCOMP_RET_ERRNO | EPERM);
		unsigned no_lease = answer(&program, SECCOMP_RET_ERRNO | EINVAL);
		/*
		 * Opening or executing a file waits for the holder of a write lease; the result is that of a kernel without
		 * leases.
		 */
		unsigned write_lease = argument(&program, 2, BPF_JEQ, F_WRLCK, no_lease, allow);
		insert(rules, &count, SYS_fcntl, argument(&program, 1, BPF_JEQ, F_SETLEASE, write_lease, allow));
		/* A call that names PID 1. A pid is the lower half of its argument. */
		unsigned not_pid_1 = argument(&program, 0, BPF_JEQ, 1, refuse, allow);
		insert(rules, &count, SYS_prlimit64, not_pid_1);
		insert(rules, &count, SYS_sched_setscheduler, not_pid_1);
		insert(rules, &count, SYS_sched_setparam, not_pid_1);
		insert(rules, &count, SYS_sched_setattr, not_pid_1);
		insert(rules, &count, SYS_sched_setaffinity, not_pid_1);
		insert(rules, &count, SYS_ioprio_set, argument(&program, 1, BPF_JEQ, 1, refuse, allow));
		insert(rules, &count, SYS_request_key, refuse);
		/* Its rings bind and listen without a system call that could be noticed. */
		insert(rules, &count, SYS_io_uring_setup, absent);
	}
	if (notify) {
		unsigned ask = answer(&program, SECCOMP_RET_USER_NOTIF);
		insert(rules, &count, SYS_listen, ask);
		insert(rules, &count, SYS_bind, ask);
		/* A further notifying filter, among all seccomp requests. */
		unsigned notifying = argument(&program, 1, BPF_JSET, SECCOMP_FILTER_FLAG_NEW_LISTENER, ask, allow);
		insert(rules, &count, SYS_seccomp, argument(&program, 0, BPF_JEQ, SECCOMP_SET_MODE_FILTER, notifying, allow));
	}
	unsigned native = choose(&program, rules, count, allow);
#ifdef __x86_64__
	/* A second set of numbers for the same calls (x32), under the same architecture. */
	if (confined)
		branch(&program, BPF_JSET, 0x40000000, absent, native);
#endif
	native = load(&program, offsetof(struct seccomp_data, nr));
	/* Calls of another architecture have other numbers: a confined process has none. */
	branch(&program, BPF_JEQ, NATIVE_ARCHITECTURE, native, confined ? absent : allow);
	unsigned first = load(&program, offsetof(struct seccomp_data, arch));
	struct sock_fprog whole = {
		(unsigned short)(sizeof(program.code) / sizeof(program.code[0]) - first),
		program.code + first,
	};
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &whole);
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
