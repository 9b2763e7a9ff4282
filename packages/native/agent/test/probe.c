/*
 * A guest program for tests: what a workload can do that a shell cannot.
 *
 *   probe udp ADDRESS PORT      binds a UDP socket, prints the bind's result, waits
 *   probe listen-again          one TCP socket, three calls of listen, then exits with 0
 *   probe thread-listen         listens from a thread that does not lead its process
 *   probe unix-peer             exits with 0 when a unix listener's peer is this process
 *   probe bind-as UID PORT      binds UDP as another user, prints the result
 *   probe stop-console          stops the console's output, then exits with 0
 *   probe reach-port DEVICE     tries every way to the agent's port; one line a way, exits with the
 *                               number of ways that worked
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int report(const char *what, bool worked)
{
	printf("%s: %s\n", what, worked ? "worked" : strerror(errno));
	fflush(stdout);
	return worked ? 1 : 0;
}

static int bind_udp(const char *address, int port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	bool six = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1;

	inet_pton(AF_INET, address, &v4.sin_addr);
	int fd = socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
	int result = six ? bind(fd, (struct sockaddr *)&v6, sizeof(v6)) : bind(fd, (struct sockaddr *)&v4, sizeof(v4));
	report("bind", result == 0);
	return result;
}

static int bind_tcp(int port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return bind(fd, (struct sockaddr *)&v4, sizeof(v4)) == 0 ? fd : -1;
}

static void *listen_here(void *fd)
{
	return listen(*(int *)fd, 5) == 0 ? NULL : fd;
}

static int thread_listen(void)
{
	pthread_t thread;
	void *failed = NULL;
	int fd = bind_tcp(7001);

	if (fd < 0 || pthread_create(&thread, NULL, listen_here, &fd) || pthread_join(thread, &failed))
		return 1;
	return failed ? 1 : 0;
}

static int unix_peer(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "/tmp/probe.socket" };
	struct ucred peer = { 0 };
	socklen_t length = sizeof(peer);
	int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);

	unlink(name.sun_path);
	if (bind(server, (struct sockaddr *)&name, sizeof(name)) || listen(server, 1) ||
	    connect(client, (struct sockaddr *)&name, sizeof(name)) ||
	    getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &length))
		return 2;
	return peer.pid == getpid() ? 0 : 1;
}

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

/* As root of a user namespace of its own: the same ways once more, for capabilities that count there. */
static int in_user_namespace(const char *device)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWCGROUP) < 0)
		return report("user namespace unshare", false);
	int worked = 0;
	mkdir("/tmp/ns", 0755);
	worked += report("user namespace mount devtmpfs", mount("d", "/tmp/ns", "devtmpfs", 0, NULL) == 0);
	worked += report("user namespace mknod", mknod("/tmp/ns-port", S_IFCHR | 0600, makedev(4, 65)) == 0 &&
							 can_open("/tmp/ns-port", O_RDWR));
	bool mounted = mount("s", "/tmp/ns", "sysfs", 0, NULL) == 0;
	worked += report("user namespace writable sysfs",
			 mounted && access("/tmp/ns/bus/platform/drivers/of_serial/unbind", W_OK) == 0);
	worked += report("user namespace remount sysfs", mount(NULL, "/sys", NULL, MS_REMOUNT | MS_BIND, NULL) == 0);
	worked += report("user namespace open", can_open(device, O_RDWR));
	return worked;
}

static int reach_port(const char *device)
{
	int worked = 0;
	char byte = 0;
	struct iovec local = { &byte, 1 }, remote = { (void *)0x10000, 1 };

	worked += report("open", can_open(device, O_RDWR));
	worked += report("mknod", mknod("/tmp/port", S_IFCHR | 0600, makedev(4, 65)) == 0 && can_open("/tmp/port", O_RDWR));
	mkdir("/tmp/dev", 0755);
	worked += report("mount devtmpfs", mount("d", "/tmp/dev", "devtmpfs", 0, NULL) == 0);
	worked += report("remount sysfs", mount(NULL, "/sys", NULL, MS_REMOUNT | MS_BIND, NULL) == 0);
	worked += report("rebind the driver", write_file("/sys/bus/platform/drivers/of_serial/unbind", "10000100.serial"));
	worked += report("leave the group", write_file("/sys/fs/cgroup/cgroup.procs", "0"));
	worked += report("thaw oneself", write_file("/sys/fs/cgroup/workload/cgroup.freeze", "0"));
	worked += report("ptrace", ptrace(PTRACE_ATTACH, 1, NULL, NULL) == 0);
	worked += report("process_vm_readv", process_vm_readv(1, &local, 1, &remote, 1, 0) > 0);
	worked += report("process_vm_writev", process_vm_writev(1, &local, 1, &remote, 1, 0) > 0);
	worked += report("/proc/1/mem", can_open("/proc/1/mem", O_RDWR));
	for (int fd = 3; fd < 12; fd++) {
		char path[32];
		snprintf(path, sizeof(path), "/proc/1/fd/%d", fd);
		worked += report(path, can_open(path, O_RDWR));
	}
	int agent = (int)syscall(SYS_pidfd_open, 1, 0);
	for (int fd = 3; fd < 12; fd++)
		worked += report("pidfd_getfd", syscall(SYS_pidfd_getfd, agent, fd, 0) >= 0);
	worked += report("/dev/mem", can_open("/dev/mem", O_RDWR));
	worked += report("/proc/kcore", can_open("/proc/kcore", O_RDONLY));
	worked += report("init_module", syscall(SYS_init_module, "", 0, "") == 0 || (errno != EPERM && errno != EACCES));
	worked += report("helper capabilities", write_file("/proc/sys/kernel/usermodehelper/bset", "4294967295 511"));
	worked += report("reboot", reboot(RB_ENABLE_CAD) == 0);
	worked += report("hang up terminals", syscall(SYS_vhangup) == 0);

	pid_t child = fork();
	if (child == 0)
		_exit(in_user_namespace(device));
	int status = 0;
	if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status))
		return 255;
	return worked + WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "udp") == 0 && argc == 4) {
		bind_udp(argv[2], atoi(argv[3]));
		for (;;)
			pause();
	}
	if (strcmp(what, "bind-as") == 0 && argc == 4)
		return setuid((uid_t)atoi(argv[2])) == 0 && bind_udp("0.0.0.0", atoi(argv[3])) == 0 ? 0 : 1;
	if (strcmp(what, "listen-again") == 0) {
		int fd = bind_tcp(7000);
		return listen(fd, 1) || listen(fd, 2) || listen(fd, 3);
	}
	if (strcmp(what, "thread-listen") == 0)
		return thread_listen();
	if (strcmp(what, "unix-peer") == 0)
		return unix_peer();
	if (strcmp(what, "stop-console") == 0)
		return tcflow(STDOUT_FILENO, TCOOFF);
	if (strcmp(what, "reach-port") == 0 && argc == 3)
		return reach_port(argv[2]);
	fprintf(stderr, "probe: not understood\n");
	return 64;
}
