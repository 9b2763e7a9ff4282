/* The control port: the agent's private serial line to the host. */
#ifndef STILLPOINT_PORT_H
#define STILLPOINT_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

/*
 * Opens `device` raw and for this process alone, and removes its node, so that no later process can name it. Retries for a
 * second, since drivers may still be probing. Returns 0 or an errno; without a port, frames are dropped and the agent
 * continues.
 */
int port_open(const char *device);

/* Starts serving frames from the host to `dispatch`. Returns 0 or an errno. */
int port_serve(void (*dispatch)(uint8_t type, struct slice payload));

/* Serves every host frame that has arrived. Returns true when none, not even a part of one, is left over. */
bool port_drain_input(void);

/*
 * Much is about to be sent or received: from the first time on everything goes over the channel, if there is one. Not between
 * port_begin and port_send.
 */
void port_expect_much(void);

/* Starts a frame in the port's one outgoing buffer; finish it with port_send or port_send_now. */
struct frame_writer *port_begin(uint8_t type);

/* Sends the frame whole. A frame that did not fit is dropped and reported as Rejected. */
void port_send(struct frame_writer *writer);

/* Sends the frame and waits until its last byte has left, so that nothing later can overtake it. */
void port_send_now(struct frame_writer *writer);

/* Sends a frame without fields. */
void port_send_empty(uint8_t type);

/* A refusal and its reason. The text is for readers: the host decides by `reason`. */
struct refusal {
	uint8_t frame;	 /* number of the refused frame, 0 where it is not known */
	const uint32_t *id; /* its command or token, null if it has none */
	enum reject_reason reason;
	const char *what;
	const char *detail; /* may be null */
	int error;	    /* an errno, or 0 */
};

void port_reject(const struct refusal *refusal);

/* The reason for the kernel's error: no space, no memory, or `otherwise`. */
enum reject_reason reason_of(int error, enum reject_reason otherwise);

#endif
