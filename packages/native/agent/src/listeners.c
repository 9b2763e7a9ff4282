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
#include <sys/un.h>
#include <unistd.h>

#include "address.h"
#include "console.h"
#include "frame.h"
#include "loop.h"
#include "open_listeners.h"
#include "port.h"
#include "socket_table.h"
#include "text.h"

/* From Linux 6.9: a descriptor of one thread, which need not lead its group. */
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

static enum listener_mode mode = LISTENERS_OFF;
static struct watch filter_watch = { .fd = -1 };

static const uint64_t SCAN_NANOS = 20000000;
static struct alarm_clock scan_clock = { .watch = { .fd = -1 } };

static int scan_start(void);

/* The name of an internet socket or of one of the Unix domain. Returns false when it has none. */
static bool name_of(int fd, uint8_t protocol, struct listener_name *name)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_un local;
	} address = { .any = { 0 } };
	socklen_t length = sizeof(address);

	*name = (struct listener_name){ .protocol = protocol };
	if (getsockname(fd, &address.any, &length) < 0)
		return false;
	if (address.any.sa_family == AF_INET) {
		address_text_v4((const uint8_t *)&address.v4.sin_addr, name->text);
		name->port = ntohs(address.v4.sin_port);
	} else if (address.any.sa_family == AF_INET6) {
		address_text_v6(address.v6.sin6_addr.s6_addr, name->text);
		name->port = ntohs(address.v6.sin6_port);
	} else if (address.any.sa_family == AF_UNIX && length > offsetof(struct sockaddr_un, sun_path)) {
		address_text_unix(address.local.sun_path, length - offsetof(struct sockaddr_un, sun_path), name->text);
	} else {
		return false;
	}
	return true;
}

/* A socket listens now. `protocol` is the internet protocol's number, 0 in the Unix domain. */
static void add_socket(int fd, uint8_t protocol)
{
	struct listener_name name;
	struct stat inode;

	if (!name_of(fd, protocol, &name) || fstat(fd, &inode) < 0)
		return;
	if (!open_listeners_add(fd, inode.st_ino, &name) && scan_clock.watch.fd < 0)
		scan_start();
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

/*
 * The agent listens on the socket itself, so that it is open when the event is sent and before the caller
 * continues.
 */
static void serve_listen(const struct seccomp_notif *call)
{
	int backlog = (int)call->data.args[1];
	int fd = duplicate_socket(call);

	if (fd >= 0 && internet(fd) && valid(call)) {
		int error = listen(fd, backlog) < 0 ? errno : 0;
		int protocol = socket_option(fd, SO_PROTOCOL);
		if (!error && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP))
			add_socket(fd, IPPROTO_TCP);
		answer(call, error);
	} else {
		/*
		 * A socket of the Unix domain remembers the last caller of listen; that must be the workload, which calls it
		 * again.
		 */
		if (fd >= 0 && socket_option(fd, SO_DOMAIN) == AF_UNIX && valid(call) && listen(fd, backlog) == 0)
			add_socket(fd, 0);
		let_kernel_decide(call);
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
			add_socket(fd, IPPROTO_UDP);
		answer(call, error);
	} else {
		let_kernel_decide(call);
	}
	if (fd >= 0)
		close(fd);
}

/* Only one filter of a process may notify, and it has the agent's. The call fails, and the host learns why. */
static void serve_filter(const struct seccomp_notif *call)
{
	port_reject(&(struct refusal){
		.frame = FRAME_LISTENER_BOUND,
		.reason = REASON_LISTENER_SECCOMP_BUSY,
		.what = "a process asked for a system call filter that notifies, and the agent's own is there already; "
			"configure listeners=scan for a workload that brings its own",
	});
	let_kernel_decide(call);
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
		else if (request.call.data.nr == SYS_bind)
			serve_bind(&request.call);
		else
			serve_filter(&request.call);
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		/* No process is left under the filter. */
		loop_remove(watch);
		close(watch->fd);
		watch->fd = -1;
	}
}

static void found(const struct socket_entry *entry)
{
	struct listener_name name = { .protocol = 0 };

	if (entry->domain == SOCKET_UNIX) {
		address_text_unix(entry->path, strlen(entry->path), name.text);
	} else {
		name.protocol = entry->udp ? IPPROTO_UDP : IPPROTO_TCP;
		name.port = entry->port;
		if (entry->domain == SOCKET_V6)
			address_text_v6(entry->address, name.text);
		else
			address_text_v4(entry->address, name.text);
	}
	open_listeners_add(-1, entry->inode, &name);
}

static void scan_rang(struct alarm_clock *alarm)
{
	(void)alarm;
	open_listeners_look_begins();
	socket_table_read(true, found);
	open_listeners_look_ends();
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
	open_listeners_init();
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
	if (!open_listeners_ever() && mode != LISTENERS_OFF)
		socket_table_read(false, found);
	return open_listeners_ever();
}
