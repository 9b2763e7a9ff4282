#include "exec_input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "port.h"

enum {
	/* What a command has not taken yet; more is refused. */
	INPUT_MAX = LIMIT_COMMAND_INPUT_BYTES,
	/* So much is taken before that is told: the host has three times as much on its way meanwhile. */
	TAKEN_STEP = INPUT_MAX / 4,
};

/* Input that the command has taken, or never will, makes room for more of it. */
static void tell_taken(struct command_input *input)
{
	struct frame_writer *writer = port_begin(FRAME_EXEC_INPUT_TAKEN);

	frame_put_u32(writer, input->id);
	frame_put_u64(writer, input->taken);
	input->taken = 0;
	port_send(writer);
}

static void forget(struct command_input *input)
{
	if (input->watched)
		loop_remove(&input->watch);
	input->watched = false;
	free(input->bytes);
	input->bytes = NULL;
	input->length = input->sent = 0;
}

void input_close(struct command_input *input)
{
	forget(input);
	if (input->watch.fd >= 0)
		close(input->watch.fd);
	input->watch.fd = -1;
}

/* A terminal's programs are told of the end of their input by a character. */
static void end(struct command_input *input)
{
	static const char end_of_file = 4;

	if (input->is_terminal && input->watch.fd >= 0)
		while (write(input->watch.fd, &end_of_file, 1) < 0 && errno == EINTR)
			;
	input_close(input);
}

void input_feed(struct command_input *input)
{
	while (input->sent < input->length) {
		ssize_t put = write(input->watch.fd, input->bytes + input->sent, input->length - input->sent);
		if (put < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (put < 0) {
			/* The command reads no more. A host that waits for room learns so when it sends into it. */
			input->taken += input->length - input->sent;
			input_close(input);
			tell_taken(input);
			return;
		}
		input->sent += (size_t)put;
		input->taken += (size_t)put;
	}
	if (input->taken >= TAKEN_STEP)
		tell_taken(input);
	if (input->sent < input->length) {
		if (!input->watched && loop_add(&input->watch, EPOLLOUT) == 0)
			input->watched = true;
		return;
	}
	forget(input);
	if (input->ends)
		end(input);
}

static void ready(struct watch *watch, uint32_t events)
{
	(void)events;
	input_feed((struct command_input *)watch);
}

void input_init(struct command_input *input)
{
	*input = (struct command_input){ .watch = { -1, ready } };
}

void input_open(struct command_input *input, int fd, uint32_t id, bool is_terminal)
{
	input->watch.fd = fd;
	input->id = id;
	input->is_terminal = is_terminal;
	input->ends = false;
	input->taken = 0;
}

int input_queue(struct command_input *input, struct slice more)
{
	size_t waiting = input->length - input->sent;

	if (more.length == 0)
		return 0;
	if (waiting + more.length > INPUT_MAX)
		return ENOBUFS;
	uint8_t *grown = malloc(waiting + more.length);
	if (!grown)
		return ENOMEM;
	if (waiting > 0)
		memcpy(grown, input->bytes + input->sent, waiting);
	memcpy(grown + waiting, more.data, more.length);
	free(input->bytes);
	input->bytes = grown;
	input->length = waiting + more.length;
	input->sent = 0;
	return 0;
}
