#include "custom_events.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "event_form.h"
#include "frame.h"
#include "loop.h"
#include "mounts.h"
#include "port.h"
#include "text.h"

#define SOCKET_PATH "/run/stillpoint/events"

enum { NAME_MAX_BYTES = LIMIT_EVENT_NAME_BYTES, PAYLOAD_MAX = LIMIT_PAYLOAD_BYTES, MESSAGE_MAX = NAME_MAX_BYTES + 1 + PAYLOAD_MAX };

/* Events taken in one go; a sender that floods waits in its own send. */
enum { DRAIN_MAX = 64 };

static const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = SOCKET_PATH };
static struct watch events_watch = { .fd = -1 };

static void reject(enum reject_reason reason, const char *what, const char *detail)
{
	port_reject(&(struct refusal){ .frame = FRAME_CUSTOM, .reason = reason, .what = what, .detail = detail });
}

static void pass_on(const char *message, size_t length)
{
	const char *space = memchr(message, ' ', length);
	size_t name_length = space ? (size_t)(space - message) : length;
	const char *payload = space ? space + 1 : "null";
	size_t payload_length = space ? length - name_length - 1 : 4;

	if (!event_name_valid(message, name_length)) {
		reject(REASON_EVENT_NAME_INVALID, "an event's name is " EVENT_NAME_FORM, NULL);
		return;
	}
	if (!event_payload_valid(payload, payload_length)) {
		char name[NAME_MAX_BYTES + 1] = { 0 };
		memcpy(name, message, name_length);
		reject(REASON_EVENT_PAYLOAD_INVALID, "an event's payload is " EVENT_PAYLOAD_FORM, name);
		return;
	}
	struct frame_writer *writer = port_begin(FRAME_CUSTOM);
	frame_put_bytes(writer, message, name_length);
	frame_put_bytes(writer, payload, payload_length);
	port_send(writer);
}

void custom_events_drain(void)
{
	static char message[MESSAGE_MAX + 1];

	if (events_watch.fd < 0)
		return;
	for (int i = 0; i < DRAIN_MAX; i++) {
		ssize_t length = recv(events_watch.fd, message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC);
		if (length < 0)
			return;
		if ((size_t)length > MESSAGE_MAX)
			reject(REASON_EVENT_PAYLOAD_INVALID, "an event is longer than 32833 bytes", NULL);
		else
			pass_on(message, (size_t)length);
	}
}

static void events_ready(struct watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
	custom_events_drain();
}

int custom_events_serve(void)
{
	struct sockaddr_un own = { .sun_family = AF_UNIX };
	struct text path;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return errno;
	text_start(&path, "/proc/self/fd/");
	text_add_number(&path, (uint64_t)(unsigned)mounts_own_folder());
	text_add(&path, "/events");
	memcpy(own.sun_path, path.bytes, path.length + 1);
	/* Every user of the guest may send. */
	if (bind(fd, (const struct sockaddr *)&own, sizeof(own)) < 0 || chmod(own.sun_path, 0666) < 0) {
		int error = errno;
		close(fd);
		return error;
	}
	events_watch = (struct watch){ .fd = fd, .ready = events_ready };
	return loop_add(&events_watch, EPOLLIN);
}

static const char help[] =
	"usage: stillpoint-emit NAME [JSON]\n"
	"\n"
	"Sends an event to the host, which receives it as Custom.\n"
	"\n"
	"  NAME  its name: " EVENT_NAME_FORM "\n"
	"  JSON  its payload (default: null): " EVENT_PAYLOAD_FORM "\n"
	"\n"
	"Example: stillpoint-emit warm '{\"entries\": 1200}'\n"
	"\n"
	"Exits with 0 if the event was sent, with 1 and a message if not. The host drops events above the guest's quota.\n"
	"Other programs can send one as a datagram \"NAME JSON\" to the socket " SOCKET_PATH ".\n";

static bool say(int stream, const char *words)
{
	return write(stream, words, strlen(words)) == (ssize_t)strlen(words);
}

static int complain(const char *what, int error)
{
	return say(STDERR_FILENO, what) && say(STDERR_FILENO, error ? strerror(error) : "") && say(STDERR_FILENO, "\n") ? 1 : 2;
}

int custom_events_emit(int argc, char **argv)
{
	static char message[MESSAGE_MAX];
	const char *payload = argc == 3 ? argv[2] : "null";

	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return say(STDOUT_FILENO, help) ? 0 : 1;
	if (argc < 2 || argc > 3)
		return complain("usage: stillpoint-emit NAME [JSON], or --help", 0);
	size_t name_length = strlen(argv[1]);
	size_t payload_length = strlen(payload);
	if (!event_name_valid(argv[1], name_length))
		return complain("stillpoint-emit: expected a name of " EVENT_NAME_FORM "; see --help", 0);
	if (!event_payload_valid(payload, payload_length))
		return complain("stillpoint-emit: expected a payload of " EVENT_PAYLOAD_FORM, 0);
	memcpy(message, argv[1], name_length);
	message[name_length] = ' ';
	memcpy(message + name_length + 1, payload, payload_length);

	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, message, name_length + 1 + payload_length, 0, (const struct sockaddr *)&address,
			     sizeof(address)) < 0)
		return complain("stillpoint-emit: " SOCKET_PATH ": ", errno);
	return 0;
}
