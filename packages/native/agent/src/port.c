#include "port.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"
#include "console.h"
#include "loop.h"
#include "text.h"

/* An incomplete frame is given up, and a broken stream taken up again, after this much silence. */
static const uint64_t SILENCE_NANOS = 500000000;

/* Frames that are read at once: others have their turn in between. */
enum { READS_AT_ONCE = 32 };

static int port = -1;
static int channel = -1; /* once it is open, what is sent goes there */
static struct watch input = { .fd = -1 };
static struct watch channel_input = { .fd = -1 }; /* watched once the host sends there */
static struct alarm_clock silence;
static struct frame_decoder decoder;
static bool lost; /* the stream is not understood; skip until the line is silent */
static void (*dispatch_frame)(uint8_t type, struct slice payload);

static uint8_t outgoing[FRAME_BYTES_MAX];
static struct frame_writer outgoing_writer;

static int open_retrying(const char *device)
{
	const struct timespec pause = { 0, 20000000 };

	for (int attempt = 0;; attempt++) {
		int fd = open(device, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0 || attempt == 50)
			return fd;
		nanosleep(&pause, NULL);
	}
}

static void make_raw(int fd)
{
	struct termios line;
	int modem = 0;

	if (tcgetattr(fd, &line) < 0)
		return;
	cfmakeraw(&line);
	line.c_cflag |= CLOCAL | CREAD;
	line.c_cflag &= ~(tcflag_t)(HUPCL | CRTSCTS);
	/* If the other side supports hardware flow control, use it: a burst from the host then cannot overrun us. */
	if (ioctl(fd, TIOCMGET, &modem) == 0 && (modem & TIOCM_CTS))
		line.c_cflag |= CRTSCTS;
	line.c_cc[VMIN] = 1;
	line.c_cc[VTIME] = 0;
	cfsetspeed(&line, B230400);
	tcsetattr(fd, TCSANOW, &line);
}

int port_open(const char *device)
{
	int fd = open_retrying(device);

	if (fd < 0)
		return errno;
	make_raw(fd);
	ioctl(fd, TIOCEXCL);
	if (unlink(device) < 0)
		console_say("the control port's node cannot be removed", device, errno);
	port = fd;
	return 0;
}

static void write_all(int fd, const uint8_t *bytes, size_t length)
{
	while (length > 0) {
		ssize_t written = write(fd, bytes, length);
		if (written > 0) {
			bytes += written;
			length -= (size_t)written;
		} else if (written < 0 && errno == EAGAIN) {
			struct pollfd room = { .fd = fd, .events = POLLOUT };
			poll(&room, 1, -1);
		} else if (written < 0 && errno != EINTR) {
			console_say("the control port cannot be written", NULL, errno);
			return;
		}
	}
}

struct frame_writer *port_begin(uint8_t type)
{
	frame_begin(&outgoing_writer, outgoing, sizeof(outgoing), type);
	return &outgoing_writer;
}

void port_send(struct frame_writer *writer)
{
	uint8_t type = writer->bytes[4];
	size_t length = frame_end(writer);

	if (length == 0) {
		port_reject(&(struct refusal){ .frame = type,
					       .reason = REASON_FRAME_TOO_LARGE,
					       .what = "a frame of this type grew larger than the protocol allows and was dropped" });
		return;
	}
	if (port >= 0)
		write_all(channel >= 0 ? channel : port, writer->bytes, length);
}

void port_send_now(struct frame_writer *writer)
{
	port_send(writer);
	/* Data written to the channel has left. */
	if (port >= 0 && channel < 0)
		tcdrain(port);
}

void port_send_empty(uint8_t type)
{
	port_send_now(port_begin(type));
}

enum reject_reason reason_of(int error, enum reject_reason otherwise)
{
	if (error == ENOSPC || error == EDQUOT)
		return REASON_NO_SPACE;
	return error == ENOMEM ? REASON_NO_MEMORY : otherwise;
}

void port_reject(const struct refusal *refusal)
{
	struct text message;
	struct frame_writer *writer = port_begin(FRAME_AGENT_REJECTED);

	text_start(&message, refusal->what);
	if (refusal->detail) {
		text_add(&message, ": ");
		text_add(&message, refusal->detail);
	}
	if (refusal->error) {
		text_add(&message, ": ");
		text_add(&message, strerror(refusal->error));
	}
	frame_put_u8(writer, refusal->frame);
	if (refusal->id) {
		frame_put_present(writer);
		frame_put_u32(writer, *refusal->id);
	} else {
		frame_put_absent(writer);
	}
	frame_put_u8(writer, (uint8_t)refusal->reason);
	frame_put_str(writer, message.bytes);
	port_send(writer);
}

void port_expect_much(void)
{
	static bool is_tried;

	if (is_tried || port < 0)
		return;
	is_tried = true;
	int fd = channel_open();
	if (fd < 0)
		return;
	/* Sent on the line that no other process has: from now on the host trusts the channel. */
	port_send_empty(FRAME_AGENT_CHANNEL_OPENED);
	channel = fd;
}

static void input_ready(struct watch *watch, uint32_t events);

/* The host sends nothing more over the line; its later bytes have waited in the channel. */
static void follow_channel(void)
{
	if (channel < 0 || channel_input.fd >= 0)
		return;
	channel_input = (struct watch){ .fd = channel, .ready = input_ready };
	int error = loop_add(&channel_input, EPOLLIN);
	if (error)
		console_say("the channel cannot be heard", NULL, error);
}

static void serve_frames(void)
{
	uint8_t type;
	struct slice payload;

	for (;;) {
		switch (frame_decoder_next(&decoder, &type, &payload)) {
		case DECODE_FRAME:
			if (type == FRAME_CHANNEL_FOLLOWS)
				follow_channel();
			else
				dispatch_frame(type, payload);
			continue;
		case DECODE_BAD_LENGTH:
			frame_decoder_reset(&decoder);
			lost = true;
			port_reject(&(struct refusal){ .reason = REASON_FRAME_TOO_LARGE,
						       .what = "a frame's length is not between 1 and 65536; "
							       "input is skipped until the line is silent" });
			return;
		case DECODE_MORE:
			return;
		}
	}
}

/* Reads once. Returns false when nothing was there. */
static bool read_input(int fd)
{
	uint8_t *into;
	size_t room = frame_decoder_space(&decoder, &into);
	ssize_t got = read(fd, into, room);

	if (got <= 0)
		return false;
	if (!lost) {
		frame_decoder_filled(&decoder, (size_t)got);
		serve_frames();
	}
	if (lost || frame_decoder_partial(&decoder))
		alarm_set(&silence, SILENCE_NANOS, 0);
	else
		alarm_clear(&silence);
	return true;
}

bool port_drain_input(void)
{
	if (port < 0)
		return true;
	while (read_input(port))
		;
	while (channel_input.fd >= 0 && read_input(channel_input.fd))
		;
	return !lost && !frame_decoder_partial(&decoder);
}

static void silence_rang(struct alarm_clock *alarm)
{
	(void)alarm;
	if (!lost && frame_decoder_partial(&decoder))
		port_reject(&(struct refusal){ .reason = REASON_FRAME_INCOMPLETE,
					       .what = "a frame was not completed and is dropped" });
	frame_decoder_reset(&decoder);
	lost = false;
}

static void input_ready(struct watch *watch, uint32_t events)
{
	/* The channel gives a page at a time. */
	int reads = watch == &channel_input ? READS_AT_ONCE : 1;
	bool was_there = false;

	while (reads-- > 0 && read_input(watch->fd))
		was_there = true;
	if (!was_there && (events & (EPOLLHUP | EPOLLERR))) {
		console_say("the control port was hung up", NULL, 0);
		loop_remove(watch);
	}
}

int port_serve(void (*dispatch)(uint8_t type, struct slice payload))
{
	int error = alarm_init(&silence, silence_rang);

	dispatch_frame = dispatch;
	if (error || port < 0)
		return error;
	input = (struct watch){ .fd = port, .ready = input_ready };
	return loop_add(&input, EPOLLIN);
}
