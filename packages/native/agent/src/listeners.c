#include "listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "address.h"
#include "console.h"
#include "frame.h"
#include "loop.h"
#include "port.h"
#include "socket_table.h"
#include "text.h"

/* From Linux 6.9: a descriptor of one thread, which need not lead its group. */
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

static enum listener_mode mode = LISTENERS_OFF;
static bool seen;
static struct watch filter_watch = { .fd = -1 };

static void report(uint8_t protocol, const char *address, uint16_t port_number)
{
	struct frame_writer *writer = port_begin(FRAME_LISTENER_BOUND);

	seen = true;
	frame_put_u8(writer, protocol);
	frame_put_str(writer, address);
	frame_put_u16(writer, port_number);
	port_send_now(writer);
}

static void report_socket(int fd, uint8_t protocol)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} name;
	socklen_t length = sizeof(name);
	char text[ADDRESS_TEXT_MAX];

	if (getsockname(fd, &name.any, &length) < 0)
		return;
	if (name.any.sa_family == AF_INET) {
		address_text_v4((const uint8_t *)&name.v4.sin_addr, text);
		report(protocol, text, ntohs(name.v4.sin_port));
	} else if (name.any.sa_family == AF_INET6) {
		address_text_v6(name.v6.sin6_addr.s6_addr, text);
		report(protocol, text, ntohs(name.v6.sin6_port));
	}
}

static bool valid(const struct seccomp_notif *call)
{
	uint64_t id = call->id;

	return ioctl(filter_watch.fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

static void answer(const struct seccomp_notif *call, int error)
{
	struct seccomp_notif_resp response = { .id = call->id, .error = -error };

	/* It fails only when the caller is gone. */
	ioctl(filter_watch.fd, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static void let_kernel_decide(const struct seccomp_notif *call)
{
	struct seccomp_notif_resp response = { .id = call->id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

	ioctl(filter_watch.fd, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static int duplicate_socket(const struct seccomp_notif *call)
{
	pid_t thread = (pid_t)call->pid;
	int pidfd = (int)syscall(SYS_pidfd_open, thread, PIDFD_THREAD);

	if (pidfd < 0)
		pidfd = (int)syscall(SYS_pidfd_open, thread, 0);
	if (pidfd < 0)
		return -1;
	int fd = (int)syscall(SYS_pidfd_getfd, pidfd, (int)call->data.args[0], 0);
	close(pidfd);
	return fd;
}

static int socket_option(int fd, int option)
{
	int value = -1;
	socklen_t length = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &length) < 0 ? -1 : value;
}

static bool internet(int fd)
{
	int domain = socket_option(fd, SO_DOMAIN);

	return domain == AF_INET || domain == AF_INET6;
}

static void serve_listen(const struct seccomp_notif *call)
{
	int fd = duplicate_socket(call);

	/* A unix socket remembers who called listen; that must stay the workload. */
	if (fd < 0 || !internet(fd) || !valid(call)) {
		let_kernel_decide(call);
	} else {
		bool already = socket_option(fd, SO_ACCEPTCONN) == 1;
		int error = listen(fd, (int)call->data.args[1]) < 0 ? errno : 0;
		int protocol = socket_option(fd, SO_PROTOCOL);
		if (!error && !already && protocol == IPPROTO_TCP)
			report_socket(fd, IPPROTO_TCP);
		answer(call, error);
	}
	if (fd >= 0)
		close(fd);
}

/* /proc/<thread>/<file>, read into `text` and null-terminated. Returns false when it cannot be read. */
static bool read_of_thread(uint32_t thread, const char *file, char *text, size_t size)
{
	struct text path;

	text_start(&path, "/proc/");
	text_add_number(&path, thread);
	text_add(&path, file);
	int fd = open(path.bytes, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);
	if (fd >= 0)
		close(fd);
	if (length < 0)
		return false;
	text[length] = 0;
	return true;
}

static bool in_our_user_namespace(uint32_t thread)
{
	struct text path;
	struct stat theirs, ours;

	text_start(&path, "/proc/");
	text_add_number(&path, thread);
	text_add(&path, "/ns/user");
	return stat(path.bytes, &theirs) == 0 && stat("/proc/self/ns/user", &ours) == 0 &&
	       theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
}

/* Whether the thread may bind ports below 1024 on its own. */
static bool may_bind_low_ports(uint32_t thread)
{
	static char status[4096];

	if (!read_of_thread(thread, "/status", status, sizeof(status)))
		return false;
	const char *at = strstr(status, "\nCapEff:");
	return at && (strtoull(at + 8, NULL, 16) >> CAP_NET_BIND_SERVICE & 1);
}

static void set_bind_capability(bool on)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2];
	const uint32_t bit = UINT32_C(1) << CAP_NET_BIND_SERVICE;

	if (syscall(SYS_capget, &header, sets) < 0)
		return;
	sets[0].effective = on ? sets[0].effective | bit : sets[0].effective & ~bit;
	syscall(SYS_capset, &header, sets);
}

/* Binds with the caller's right to low ports, not with the agent's. */
static int bind_as(uint32_t thread, int fd, const struct sockaddr *address, socklen_t length)
{
	bool lower = !may_bind_low_ports(thread);

	if (lower)
		set_bind_capability(false);
	int error = bind(fd, address, length) < 0 ? errno : 0;
	if (lower)
		set_bind_capability(true);
	return error;
}

static uint16_t explicit_port(const struct sockaddr_storage *address, socklen_t length)
{
	if (address->ss_family == AF_INET && length >= (socklen_t)sizeof(struct sockaddr_in))
		return ntohs(((const struct sockaddr_in *)address)->sin_port);
	/* An IPv6 address may leave out its scope: RFC 2133 knows no scope. */
	if (address->ss_family == AF_INET6 && length >= (socklen_t)offsetof(struct sockaddr_in6, sin6_scope_id))
		return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
	return 0;
}

static void serve_bind(const struct seccomp_notif *call)
{
	struct sockaddr_storage address = { 0 };
	socklen_t length = (socklen_t)call->data.args[2];
	struct iovec ours = { &address, length };
	struct iovec theirs = { (void *)(uintptr_t)call->data.args[1], length };
	int fd = duplicate_socket(call);

	if (fd >= 0 && internet(fd) && socket_option(fd, SO_PROTOCOL) == IPPROTO_UDP && length <= sizeof(address) &&
	    in_our_user_namespace(call->pid) &&
	    process_vm_readv((pid_t)call->pid, &ours, 1, &theirs, 1, 0) == (ssize_t)length && valid(call) &&
	    explicit_port(&address, length) != 0) {
		int error = bind_as(call->pid, fd, (struct sockaddr *)&address, length);
		if (!error)
			report_socket(fd, IPPROTO_UDP);
		answer(call, error);
	} else {
		let_kernel_decide(call);
	}
	if (fd >= 0)
		close(fd);
}

static void filter_ready(struct watch *watch, uint32_t events)
{
	/* The kernel wants it zeroed, and a later one may fill in more than this header knows. */
	union {
		struct seccomp_notif call;
		uint8_t room[512];
	} request = { .room = { 0 } };

	if (events & EPOLLIN) {
		if (ioctl(watch->fd, SECCOMP_IOCTL_NOTIF_RECV, &request.call) < 0)
			return;
		if (request.call.data.nr == SYS_listen)
			serve_listen(&request.call);
		else
			serve_bind(&request.call);
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		/* No process is left under the filter. */
		loop_remove(watch);
		close(watch->fd);
		watch->fd = -1;
	}
}

static const uint64_t SCAN_NANOS = 20000000;

/* Sockets already told of, by inode; the oldest is forgotten first. */
enum { KNOWN_MAX = 256 };
static uint64_t known[KNOWN_MAX];
static unsigned known_next;
static struct alarm_clock scan_clock = { .watch = { .fd = -1 } };

static bool remember(uint64_t inode)
{
	for (unsigned i = 0; i < KNOWN_MAX; i++) {
		if (known[i] == inode)
			return false;
	}
	known[known_next++ % KNOWN_MAX] = inode;
	return true;
}

static void found(const struct socket_entry *entry)
{
	char text[ADDRESS_TEXT_MAX];

	if (!remember(entry->inode))
		return;
	if (entry->v6)
		address_text_v6(entry->address, text);
	else
		address_text_v4(entry->address, text);
	report(entry->udp ? IPPROTO_UDP : IPPROTO_TCP, text, entry->port);
}

static void scan_rang(struct alarm_clock *alarm)
{
	(void)alarm;
	socket_table_read(true, found);
}

static int scan_start(void)
{
	int error = alarm_init(&scan_clock, scan_rang);

	if (!error)
		alarm_set(&scan_clock, SCAN_NANOS, SCAN_NANOS);
	return error;
}

int listeners_start(enum listener_mode wanted, int filter)
{
	mode = wanted;
	if (mode == LISTENERS_OFF)
		return 0;
	if (filter < 0)
		return scan_start();
	filter_watch = (struct watch){ .fd = filter, .ready = filter_ready };
	return loop_add(&filter_watch, EPOLLIN);
}

void listeners_scan_pause(bool paused)
{
	if (scan_clock.watch.fd < 0)
		return;
	if (paused)
		alarm_clear(&scan_clock);
	else
		alarm_set(&scan_clock, SCAN_NANOS, SCAN_NANOS);
}

bool listeners_seen(void)
{
	/* io_uring can listen without the system call. */
	if (!seen && mode != LISTENERS_OFF)
		socket_table_read(false, found);
	return seen;
}
