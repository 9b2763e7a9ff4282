#include "open_listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include "console.h"
#include "frame.h"
#include "loop.h"
#include "port.h"
#include "text.h"

/* More sockets than this at once are not told: a workload must not take the agent's memory. */
enum { SOCKETS_MAX = 4096 };

struct listening {
	struct watch shut_down; /* first, so that a watch leads here */
	struct listening *next;
	uint64_t inode;
	uint32_t looked; /* the look at which it was last there */
	int ending;	 /* the inotify watch on its end, or -1 */
	struct listener_name name;
};

static struct listening *sockets;
static unsigned count;
static bool ever;
static uint32_t look;

/* Inotify on a socket's inode tells when its last descriptor is closed. */
static struct watch endings = { .fd = -1 };
static bool endings_work;

static bool same_name(const struct listener_name *a, const struct listener_name *b)
{
	return a->protocol == b->protocol && a->port == b->port && strcmp(a->text, b->text) == 0;
}

static bool name_in_use(const struct listener_name *name)
{
	for (const struct listening *socket = sockets; socket; socket = socket->next) {
		if (same_name(&socket->name, name))
			return true;
	}
	return false;
}

static void tell(const struct listener_name *name, uint8_t internet_frame, uint8_t unix_frame)
{
	struct frame_writer *writer = port_begin(name->protocol ? internet_frame : unix_frame);

	if (name->protocol)
		frame_put_u8(writer, name->protocol);
	frame_put_str(writer, name->text);
	if (name->protocol)
		frame_put_u16(writer, name->port);
	port_send_now(writer);
}

static void gone(struct listening *socket)
{
	struct listening **at = &sockets;

	while (*at != socket)
		at = &(*at)->next;
	*at = socket->next;
	count--;
	if (socket->ending >= 0)
		inotify_rm_watch(endings.fd, socket->ending);
	if (!name_in_use(&socket->name))
		tell(&socket->name, FRAME_LISTENER_CLOSED, FRAME_UNIX_LISTENER_CLOSED);
	loop_remove(&socket->shut_down);
	free(socket);
}

/* Requested once: the kernel forgets the request with the socket, and after it has notified. */
static void was_shut_down(struct watch *watch, uint32_t events)
{
	if (events & (EPOLLHUP | EPOLLRDHUP))
		gone((struct listening *)watch);
}

void open_listeners_drain(void)
{
	union {
		struct inotify_event event;
		char room[4096];
	} batch;
	ssize_t length;

	while (endings.fd >= 0 && (length = read(endings.fd, batch.room, sizeof(batch.room))) > 0) {
		for (ssize_t at = 0; at < length;) {
			const struct inotify_event *event = (const struct inotify_event *)(batch.room + at);
			struct listening *socket = sockets;
			while (socket && socket->ending != event->wd)
				socket = socket->next;
			if (socket && event->mask & IN_CLOSE)
				gone(socket);
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
}

static void endings_ready(struct watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
	open_listeners_drain();
}

static int watch_ending(int fd)
{
	struct text path;

	text_start(&path, "/proc/self/fd/");
	text_add_number(&path, (uint64_t)(unsigned)fd);
	return inotify_add_watch(endings.fd, path.bytes, IN_CLOSE);
}

/* Kernels differ in whether inotify sees sockets; so one is tried. */
void open_listeners_init(void)
{
	char event[sizeof(struct inotify_event)];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	endings = (struct watch){ .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .ready = endings_ready };
	int watched = fd < 0 || endings.fd < 0 ? -1 : watch_ending(fd);
	if (fd >= 0)
		close(fd);
	endings_work = watched >= 0 && read(endings.fd, event, sizeof(event)) > 0;
	if (watched >= 0)
		inotify_rm_watch(endings.fd, watched);
	endings_work = endings_work && loop_add(&endings, EPOLLIN) == 0;
	if (!endings_work)
		console_say("the end of listeners is found by looking", NULL, 0);
}

static void watch_shut_down(struct listening *socket, int fd)
{
	/* An error on a socket for datagrams is about one of them. */
	if (socket->name.protocol == PROTOCOL_UDP)
		return;
	socket->shut_down = (struct watch){ .fd = fd, .ready = was_shut_down };
	loop_add(&socket->shut_down, EPOLLRDHUP | EPOLLONESHOT);
	/* The registration lasts as long as the socket; the number is the caller's to close. */
	socket->shut_down.fd = -1;
}

bool open_listeners_add(int fd, uint64_t inode, const struct listener_name *name)
{
	struct listening *socket = sockets;

	while (socket && (socket->inode != inode || (inode == 0 && !same_name(&socket->name, name))))
		socket = socket->next;
	if (socket) {
		socket->looked = look;
		return socket->ending >= 0;
	}
	ever = true;
	socket = count < SOCKETS_MAX ? malloc(sizeof(*socket)) : NULL;
	if (!socket) {
		console_say("one listener too many to be told", name->text, 0);
		return true;
	}
	*socket = (struct listening){ .shut_down = { .fd = -1 }, .inode = inode, .looked = look, .ending = -1, .name = *name };
	bool is_first = !name_in_use(name);
	socket->next = sockets;
	sockets = socket;
	count++;
	if (fd >= 0 && endings_work) {
		socket->ending = watch_ending(fd);
		watch_shut_down(socket, fd);
	}
	if (is_first)
		tell(name, FRAME_LISTENER_BOUND, FRAME_UNIX_LISTENER_BOUND);
	return socket->ending >= 0;
}

void open_listeners_look_begins(void)
{
	look++;
}

void open_listeners_look_ends(void)
{
	for (struct listening *socket = sockets, *next; socket; socket = next) {
		next = socket->next;
		if (socket->looked != look && socket->ending < 0)
			gone(socket);
	}
}

bool open_listeners_ever(void)
{
	return ever;
}
