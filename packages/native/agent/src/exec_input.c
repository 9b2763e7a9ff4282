#include "exec_input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "port.h"

enum {
	/* Maximum input that a command has not taken yet; more is refused. */
	INPUT_MAX = LIMIT_COMMAND_INPUT_BYTES,
	/*
	 * Bytes that are taken before they are confirmed: the host has three times as much on its way meanwhile.
	 */
	TAKEN_STEP = INPUT_MAX / 4,
	/* The first time sooner: a host that has much to send waits for that, and sends over the channel then. */
	FIRST_STEP = LIMIT_COMMAND_MUCH_BYTES,
};

/* Input that the command has taken, or never will, makes room for more of it. */
static void tell_taken(struct command_input *input)
{
	struct frame_writer *writer = port_begin(FRAME_EXEC_INPUT_TAKEN);

	frame_put_u32(writer, input->id);
	frame_put_u64(writer, input->taken);
	input->taken = 0;
	input->is_told = true;
	port_send(writer);
}

static void forget(struct command_input *input)
{
	if (input->watched)
		loop_remove(&input->watch);
	input->watched = false;
	for (struct input_piece *piece = input->first, *next; piece; piece = next) {
		next = piece->next;
		free(piece);
	}
	input->first = input->last = NULL;
	input->waiting = 0;
}

void input_close(struct command_input *input)
{
	forget(input);
	if (input->watch.fd >= 0)
		close(input->watch.fd);
	input->watch.fd = -1;
}

/* A character signals the end of input to a terminal's programs. */
static void end(struct command_input *input)
{
	static const char end_of_file = 4;

	if (input->is_terminal && input->watch.fd >= 0)
		while (write(input->watch.fd, &end_of_file, 1) < 0 && errno == EINTR)
			;
	input_close(input);
}

static void count_taken(struct command_input *input, size_t bytes)
{
	input->taken += bytes;
	input->waiting -= bytes;
}

void input_feed(struct command_input *input)
{
	for (struct input_piece *piece; (piece = input->first);) {
		ssize_t put = write(input->watch.fd, piece->bytes + piece->sent, piece->length - piece->sent);
		if (put < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (put < 0) {
			/* The command reads no more. A host that waits for room learns so when it sends into it. */
			count_taken(input, input->waiting);
			input_close(input);
			tell_taken(input);
			return;
		}
		count_taken(input, (size_t)put);
		piece->sent += (size_t)put;
		if (piece->sent < piece->length)
			continue;
		input->first = piece->next;
		free(piece);
	}
	if (input->taken >= (input->is_told ? TAKEN_STEP : FIRST_STEP))
		tell_taken(input);
	if (input->first) {
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
	input->is_told = false;
	input->taken = 0;
}

int input_queue(struct command_input *input, struct slice more)
{
	if (more.length == 0)
		return 0;
	if (input->waiting + more.length > INPUT_MAX)
		return ENOBUFS;
	struct input_piece *piece = malloc(sizeof(*piece) + more.length);
	if (!piece)
		return ENOMEM;
	*piece = (struct input_piece){ .length = more.length };
	memcpy(piece->bytes, more.data, more.length);
	if (input->first)
		input->last->next = piece;
	else
		input->first = piece;
	input->last = piece;
	input->waiting += more.length;
	return 0;
}
