/*
 * A guest program for tests: what a workload can do that a shell cannot.
 *
 *   probe udp ADDRESS PORT      binds a UDP socket, prints the bind's result, waits
 *   probe listen-again          one TCP socket, three calls of listen, then exits with 0
 *   probe thread-listen         listens from a thread that does not lead its process
 *   probe mptcp PORT            listens on multipath TCP, waits
 *   probe shared PORT           listens on TCP where others do too, waits
 *   probe unix KIND NAME        listens on a stream or seqpacket socket of the Unix domain, '@' for an abstract name, waits
 *   probe listen-and PORT WHAT  listens, then: close, shutdown, exit, exec (of a program that holds no listener),
 *                               fork (a child has it 20 ms longer), pass (the same, to another process)
 *   probe own-filter            asks for a system call filter that notifies; exits with the errno
 *   probe on-signal SIGNAL      prints a line for each such signal, forever
 *   probe unix-peer             exits with 0 when a unix listener's peer is this process
 *   probe bind-as UID PORT      binds UDP as another user, prints the result
 *   probe stop-console          stops the console's output, then exits with 0
 *   probe fill-memory           takes memory until there is none, waits
 *   probe fill-processes        starts processes until none can be started, waits
 *   probe fill-files            opens files, as many processes as it takes, until none can be opened or started, waits
 *   probe real-time             spins at the highest real-time priority that is to be had
 *   probe reach DEVICE          tries every way to the agent, its port DEVICE and the machine; one line a way, exits with
 *                               the number of ways that worked
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "probe.h"

int report(const char *what, bool worked)
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

static int listening(int domain, int type, int protocol, const void *name, socklen_t length)
{
	int fd = socket(domain, type, protocol);

	if (bind(fd, name, length) == 0 && listen(fd, 5) == 0)
		return fd;
	perror("probe");
	exit(1);
}

static int listen_tcp(int port, int protocol)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	return listening(AF_INET, SOCK_STREAM, protocol, &v4, sizeof(v4));
}

static _Noreturn void listen_shared(int port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &(int){ 1 }, sizeof(int));
	if (bind(fd, (struct sockaddr *)&v4, sizeof(v4)) || listen(fd, 5))
		exit(1);
	for (;;)
		pause();
}

static void listen_unix(const char *kind, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(name);

	memcpy(address.sun_path, name, length);
	if (name[0] == '@')
		address.sun_path[0] = 0;
	listening(AF_UNIX, strcmp(kind, "stream") == 0 ? SOCK_STREAM : SOCK_SEQPACKET, 0, &address,
		  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
}

static void send_descriptor(int through, int fd)
{
	char room[CMSG_SPACE(sizeof(fd))] = { 0 };
	struct iovec byte = { &(char){ 0 }, 1 };
	struct msghdr message = { .msg_iov = &byte, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (sendmsg(through, &message, 0) < 0)
		perror("probe");
}

static int listen_and(int port, const char *what)
{
	int fd = listen_tcp(port, 0);

	if (strcmp(what, "close") == 0)
		close(fd);
	else if (strcmp(what, "shutdown") == 0)
		shutdown(fd, SHUT_RDWR);
	else if (strcmp(what, "exec") == 0) {
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		execl("/bin/sh", "sh", "-c", "stillpoint-emit after; usleep 20000", NULL);
	} else if (strcmp(what, "fork") == 0) {
		if (fork() == 0) {
			usleep(20000);
			_exit(system("stillpoint-emit last"));
		}
		close(fd);
	} else if (strcmp(what, "pass") == 0) {
		int pair[2];
		socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
		send_descriptor(pair[0], fd);
		close(fd);
		/* It is in a message that nobody has received, and goes with that. */
		usleep(20000);
		system("stillpoint-emit last");
		close(pair[0]);
		close(pair[1]);
	} else {
		return 0;
	}
	system("stillpoint-emit after");
	usleep(40000);
	return 0;
}

static int own_filter(void)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	struct sock_fprog program = { 1, code };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program) >= 0 ? 0 : errno;
}

static void say_signal(int signal)
{
	static const char text[] = "signalled\n";

	(void)signal;
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
}

static _Noreturn void on_signal(int signal)
{
	const struct sigaction action = { .sa_handler = say_signal };

	sigaction(signal, &action, NULL);
	if (write(STDOUT_FILENO, "ready\n", 6) < 0)
		_exit(1);
	for (;;)
		pause();
}

/* Takes memory that no process is charged for by size: pages of a file without a name. */
static _Noreturn void fill_memory(void)
{
	static char block[1 << 16];
	int fd = memfd_create("fill", 0);

	memset(block, 1, sizeof(block));
	while (write(fd, block, sizeof(block)) > 0)
		;
	for (;;)
		pause();
}

/* As many processes as can be had, all of them waiting. */
static _Noreturn void fill_processes(void)
{
	while (fork() >= 0)
		;
	for (;;)
		pause();
}

/* As many open files as can be had, by as many processes as that takes. */
static _Noreturn void fill_files(void)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	do {
		while (open("/dev/null", O_RDONLY) >= 0)
			;
	} while (errno == EMFILE && fork() >= 0);
	for (;;)
		pause();
}

/* The highest priority that is to be had, and never a pause. */
static int spin_in_real_time(void)
{
	struct sched_param priority = { .sched_priority = 98 };

	if (report("real time", sched_setscheduler(0, SCHED_FIFO, &priority) == 0) == 0)
		return 1;
	for (;;)
		;
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
	if (strcmp(what, "mptcp") == 0 && argc == 3) {
		listen_tcp(atoi(argv[2]), IPPROTO_MPTCP);
		for (;;)
			pause();
	}
	if (strcmp(what, "shared") == 0 && argc == 3)
		listen_shared(atoi(argv[2]));
	if (strcmp(what, "unix") == 0 && argc == 4) {
		listen_unix(argv[2], argv[3]);
		for (;;)
			pause();
	}
	if (strcmp(what, "listen-and") == 0 && argc == 4)
		return listen_and(atoi(argv[2]), argv[3]);
	if (strcmp(what, "own-filter") == 0)
		return own_filter();
	if (strcmp(what, "on-signal") == 0 && argc == 3)
		on_signal(atoi(argv[2]));
	if (strcmp(what, "fill-memory") == 0)
		fill_memory();
	if (strcmp(what, "fill-processes") == 0)
		fill_processes();
	if (strcmp(what, "fill-files") == 0)
		fill_files();
	if (strcmp(what, "real-time") == 0)
		return spin_in_real_time();
	if (strcmp(what, "reach") == 0 && argc == 3)
		return reach(argv[2]);
	fprintf(stderr, "probe: not understood\n");
	return 64;
}
