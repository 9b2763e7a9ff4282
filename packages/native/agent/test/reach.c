/* Every way that is known from a program of uid 0 to the agent, its port, its peace, or the machine. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/serial.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	int error = errno;

	if (fd >= 0)
		close(fd);
	errno = error;
	return written;
}

static bool can_open(const char *path, int flags)
{
	int fd = open(path, flags | O_NONBLOCK | O_NOCTTY);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Device nodes, the agent's own first. */
static int devices(const char *device)
{
	static const char *const nodes[] = { "/dev/mem",	 "/dev/kmem",	   "/dev/port",	    "/dev/fuse", "/dev/userfaultfd",
					     "/dev/watchdog", "/dev/watchdog0", "/dev/snapshot", "/dev/kcore" };
	struct serial_struct line;
	int worked = 0;

	worked += report("open the port", can_open(device, O_RDWR));
	worked += report("mknod", mknod("/tmp/port", S_IFCHR | 0600, makedev(4, 65)) == 0 && can_open("/tmp/port", O_RDWR));
	mkdir("/tmp/dev", 0755);
	worked += report("mount devtmpfs", mount("d", "/tmp/dev", "devtmpfs", 0, NULL) == 0);
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		worked += report(nodes[i], can_open(nodes[i], O_RDWR));
	worked += report("/proc/kcore", can_open("/proc/kcore", O_RDONLY));
	int other = open("/dev/ttyS2", O_RDWR | O_NONBLOCK | O_NOCTTY);
	bool known = other >= 0 && ioctl(other, TIOCGSERIAL, &line) == 0;
	line.iomem_base = (void *)0x10000100;
	line.type = PORT_16550A;
	worked += report("move a serial port", known && ioctl(other, TIOCSSERIAL, &line) == 0);
	worked += report("hang up terminals", syscall(SYS_vhangup) == 0);
	return worked;
}

/* Files of /proc and /sys that stop or steer the kernel. What was written is harmless where it can be. */
static int settings(void)
{
	static const char *const files[][2] = {
		{ "/proc/sysrq-trigger", "h" },
		{ "/proc/sys/kernel/sysrq", "1" },
		{ "/proc/sys/kernel/core_pattern", "core" },
		{ "/proc/sys/kernel/modprobe", "/tmp/helper" },
		{ "/proc/sys/kernel/poweroff_cmd", "/tmp/helper" },
		{ "/proc/sys/kernel/panic", "1" },
		{ "/proc/sys/kernel/panic_on_oops", "1" },
		{ "/proc/sys/kernel/hung_task_panic", "0" },
		{ "/proc/sys/kernel/sched_rt_runtime_us", "-1" },
		{ "/proc/sys/kernel/pid_max", "301" },
		{ "/proc/sys/kernel/threads-max", "20" },
		{ "/proc/sys/kernel/usermodehelper/bset", "4294967295 511" },
		{ "/proc/sys/kernel/unprivileged_bpf_disabled", "0" },
		{ "/proc/sys/vm/panic_on_oom", "0" },
		{ "/proc/sys/vm/min_free_kbytes", "60000" },
		{ "/proc/sys/vm/unprivileged_userfaultfd", "1" },
		{ "/proc/sys/fs/file-max", "1" },
		{ "/proc/irq/default_smp_affinity", "1" },
		{ "/sys/bus/platform/drivers/of_serial/unbind", "10000100.serial" },
		{ "/sys/power/state", "" },
		{ "/sys/kernel/uevent_helper", "/tmp/helper" },
		{ "/sys/fs/cgroup/cgroup.procs", "0" },
		{ "/sys/fs/cgroup/cgroup.freeze", "0" },
		{ "/sys/fs/cgroup/memory.max", "max" },
		{ "/sys/fs/cgroup/workload/cgroup.freeze", "0" },
	};
	int worked = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		worked += report(files[i][0], write_file(files[i][0], files[i][1]));
	worked += report("remount sysfs", mount(NULL, "/sys", NULL, MS_REMOUNT | MS_BIND, NULL) == 0);
	worked += report("remount /proc/sys", mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL) == 0);
	worked += report("uncover /proc/sys", umount2("/proc/sys", MNT_DETACH) == 0);
	worked += report("uncover the agent's folder", umount2("/run/stillpoint", MNT_DETACH) == 0);
	worked += report("write into the agent's folder", can_open("/run/stillpoint/identity", O_WRONLY | O_CREAT));
	return worked;
}

static void own_group(char text[256])
{
	int fd = open("/proc/self/cgroup", O_RDONLY);
	ssize_t length = fd < 0 ? -1 : read(fd, text, 255);

	text[length < 0 ? 0 : length] = 0;
	close(fd);
}

/*
 * Starts a child in that group. True when it finds itself in another group than this process; but the workload's, which is
 * frozen and limited as a workload is, is no way out for a command.
 */
static bool clone_into(const char *group)
{
	int folder = open(group, O_RDONLY | O_DIRECTORY);
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)folder };
	char ours[256], theirs[256];
	int status = 1;

	if (folder < 0)
		return false;
	own_group(ours);
	pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (child == 0) {
		own_group(theirs);
		_exit(strcmp(ours, theirs) == 0 || strstr(theirs, "/workload\n"));
	}
	return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* The kernel starts these of its own accord, outside of every group. */
static int helpers(void)
{
	static const char script[] = "#!/bin/sh\n: > /tmp/helped\n";
	int worked = 0;

	for (int i = 0; i < 2; i++) {
		int fd = open(i ? "/sbin/request-key" : "/sbin/modprobe", O_WRONLY | O_CREAT | O_TRUNC, 0755);
		if (fd < 0 || write(fd, script, sizeof(script) - 1) < 0)
			return report("helpers cannot be tried", true);
		close(fd);
	}
	socket(AF_APPLETALK, SOCK_DGRAM, 0);
	worked += report("modprobe", access("/tmp/helped", F_OK) == 0);
	syscall(SYS_request_key, "user", "probe", "callout", 0);
	worked += report("request-key", access("/tmp/helped", F_OK) == 0);
	unlink("/sbin/modprobe");
	unlink("/sbin/request-key");
	return worked;
}

/* Process 1 itself: its memory, descriptors, limits and place among what runs. */
static int agent(void)
{
	struct iovec local = { &(char){ 0 }, 1 }, remote = { (void *)0x10000, 1 };
	struct sched_param idle = { 0 };
	struct rlimit none = { 0, 0 };
	cpu_set_t processors;
	int worked = 0;

	worked += report("ptrace", ptrace(PTRACE_ATTACH, 1, NULL, NULL) == 0);
	worked += report("process_vm_readv", process_vm_readv(1, &local, 1, &remote, 1, 0) > 0);
	worked += report("process_vm_writev", process_vm_writev(1, &local, 1, &remote, 1, 0) > 0);
	worked += report("/proc/1/mem", can_open("/proc/1/mem", O_RDWR));
	int pidfd = (int)syscall(SYS_pidfd_open, 1, 0);
	for (int fd = 3; fd < 16; fd++) {
		char path[32];
		snprintf(path, sizeof(path), "/proc/1/fd/%d", fd);
		worked += report(path, can_open(path, O_RDWR));
		worked += report("pidfd_getfd", syscall(SYS_pidfd_getfd, pidfd, fd, 0) >= 0);
	}
	CPU_ZERO(&processors);
	CPU_SET(0, &processors);
	worked += report("limit the agent", prlimit(1, RLIMIT_NOFILE, &none, NULL) == 0);
	worked += report("demote the agent", sched_setscheduler(1, SCHED_IDLE | SCHED_RESET_ON_FORK, &idle) == 0);
	worked += report("pin the agent", sched_setaffinity(1, sizeof(processors), &processors) == 0);
	worked += report("starve the agent of input", syscall(SYS_ioprio_set, 1, 1, 3 << 13) == 0);
	worked += report("fail the agent", write_file("/proc/1/make-it-fail", "1"));
	return worked;
}

static bool deadline_scheduling(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attributes = { .size = 48, .policy = SCHED_DEADLINE, .runtime = 900000000, .deadline = 1000000000, .period = 1000000000 };

	return syscall(SYS_sched_setattr, 0, &attributes, 0) == 0;
}

/* Kernel code, the machine's power, and places before the agent. */
static int machine(void)
{
	struct bpf_insn code[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K }, { .code = BPF_JMP | BPF_EXIT } };
	union bpf_attr program = { .prog_type = BPF_PROG_TYPE_KPROBE, .insn_cnt = 2, .insns = (uintptr_t)code };
	struct perf_event_attr counter = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(counter) };
	struct sched_param highest = { .sched_priority = 99 };
	int immutable = FS_IMMUTABLE_FL, worked = 0;

	program.license = (uintptr_t) "GPL";
	worked += report("init_module", syscall(SYS_init_module, "", 0, "") == 0 || (errno != EPERM && errno != EACCES));
	worked += report("bpf", syscall(SYS_bpf, BPF_PROG_LOAD, &program, sizeof(program)) >= 0);
	worked += report("perf", syscall(SYS_perf_event_open, &counter, -1, 0, -1, 0) >= 0);
	worked += report("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0) == 0);
	worked += report("reboot", reboot(RB_ENABLE_CAD) == 0);
	worked += report("swapon", swapon("/tmp/swap", 0) == 0 || errno != EPERM);
	worked += report("acct", acct(NULL) == 0);
	worked += report("priority of the agent", sched_setscheduler(0, SCHED_FIFO, &highest) == 0);
	worked += report("deadline scheduling", deadline_scheduling());
	worked += report("never out of memory", write_file("/proc/self/oom_score_adj", "-1000"));
	int fd = open("/tmp/forever", O_WRONLY | O_CREAT, 0644);
	worked += report("a file for ever", ioctl(fd, FS_IOC_SETFLAGS, &immutable) == 0);
	worked += report("a lease on a program", fcntl(fd, F_SETLEASE, F_WRLCK) == 0);
	close(fd);
	worked += report("clone out of the group", clone_into("/sys/fs/cgroup"));
	worked += report("clone into another group", clone_into("/sys/fs/cgroup/../cgroup/exec"));
	struct io_uring_params ring = { 0 };
	worked += report("listen without a call", syscall(SYS_io_uring_setup, 1, &ring) >= 0);
	return worked;
}

/* As root of a user namespace of its own: the same ways once more, for capabilities that count there. */
static int in_user_namespace(const char *device)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_NEWPID) < 0)
		return report("unshare", false);
	int status = 0, worked = 0;
	pid_t first = fork();
	if (first > 0)
		return waitpid(first, &status, 0) == first && WIFEXITED(status) ? WEXITSTATUS(status) : 255;
	mkdir("/tmp/ns", 0755);
	worked += report("mount proc", mount("p", "/tmp/ns", "proc", 0, NULL) == 0);
	worked += report("mount devtmpfs", mount("d", "/tmp/ns", "devtmpfs", 0, NULL) == 0);
	worked += report("mount tracefs", mount("t", "/tmp/ns", "tracefs", 0, NULL) == 0);
	worked += report("mount debugfs", mount("t", "/tmp/ns", "debugfs", 0, NULL) == 0);
	bool mounted = mount("s", "/tmp/ns", "sysfs", 0, NULL) == 0;
	worked += report("writable sysfs", mounted && access("/tmp/ns/bus/platform/drivers/of_serial/unbind", W_OK) == 0);
	if (mount("c", "/tmp/ns", "cgroup2", 0, NULL) == 0) {
		worked += report("thaw the group", write_file("/tmp/ns/cgroup.freeze", "0"));
		worked += report("free the group's memory", write_file("/tmp/ns/memory.max", "max"));
		worked += report("free the group's processes", write_file("/tmp/ns/pids.max", "max"));
		worked += report("clone out of the group", clone_into("/tmp/ns/.."));
	}
	worked += devices(device) + settings() + helpers() + machine();
	_exit(worked < 255 ? worked : 255);
}

int reach(const char *device)
{
	int worked = devices(device) + settings() + helpers() + agent() + machine();
	int status = 0;

	printf("in a user namespace of its own\n");
	fflush(stdout);
	pid_t child = fork();
	if (child == 0)
		_exit(in_user_namespace(device));
	if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status))
		return 255;
	return worked + WEXITSTATUS(status);
}
