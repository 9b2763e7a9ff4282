/*
 * A guest program for tests: what a workload can do that a shell cannot.
 *
 *   probe udp ADDRESS PORT      binds a UDP socket, prints the bind's result, waits
 *   probe listen-again          one TCP socket, three calls of listen, then exits with 0
 *   probe thread-listen         listens from a thread that does not lead its process
 *   probe unix-peer             exits with 0 when a unix listener's peer is this process
 *   probe bind-as UID PORT      binds UDP as another user, prints the result
 *   probe stop-console          stops the console's output, then exits with 0
 *   probe fill-memory           takes memory until there is none, waits
 *   probe fill-processes        starts processes until none can be started, waits
 *   probe real-time             spins at the highest real-time priority that is to be had
 *   probe reach DEVICE          tries every way to the agent, its port DEVICE and the machine; one line a way, exits with
 *                               the number of ways that worked
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
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
	if (strcmp(what, "fill-memory") == 0)
		fill_memory();
	if (strcmp(what, "fill-processes") == 0)
		fill_processes();
	if (strcmp(what, "real-time") == 0)
		return spin_in_real_time();
	if (strcmp(what, "reach") == 0 && argc == 3)
		return reach(argv[2]);
	fprintf(stderr, "probe: not understood\n");
	return 64;
}
