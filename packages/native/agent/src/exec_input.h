/*
 * Standard input of a command: bytes from the host that the command has not taken yet. The host has a window of
 * LIMIT_COMMAND_INPUT_BYTES, which ExecInputTaken moves.
 */
#ifndef STILLPOINT_EXEC_INPUT_H
#define STILLPOINT_EXEC_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "loop.h"

/* The bytes of one frame that the command has not taken. */
struct input_piece {
	struct input_piece *next;
	size_t length, sent;
	uint8_t bytes[];
};

struct command_input {
	struct watch watch; /* first, so that it leads here; no descriptor: closed */
	uint32_t id;
	bool watched, is_terminal, is_told;
	bool ends; /* after what is queued; then nothing more is */
	struct input_piece *first, *last;
	size_t waiting; /* bytes of all of them */
	size_t taken; /* since it was last told */
};

/* Initialises a closed one. */
void input_init(struct command_input *input);

/* Begins with the agent's end `fd` of command `id`'s input. */
void input_open(struct command_input *input, int fd, uint32_t id, bool is_terminal);

/* Queues more. Returns 0 or an errno: ENOBUFS where it is more than the window. */
int input_queue(struct command_input *input, struct slice more);

/* Writes as much as the pipe or terminal takes, and the rest as it takes more. */
void input_feed(struct command_input *input);

/* Closes it and drops queued bytes. */
void input_close(struct command_input *input);

#endif
