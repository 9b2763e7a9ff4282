/* The agent's single-threaded readiness loop: file descriptors and one-shot or periodic alarms. */
#ifndef STILLPOINT_LOOP_H
#define STILLPOINT_LOOP_H

#include <stdint.h>

/* A callback for when `fd` is ready. Embedded in its owner; `ready` gets the epoll event bits. */
struct watch {
	int fd;
	void (*ready)(struct watch *watch, uint32_t events);
};

/* Creates the loop. Returns 0 or an errno. */
int loop_init(void);

/* Starts watching `watch->fd` for the epoll `events`. Returns 0 or an errno. */
int loop_add(struct watch *watch, uint32_t events);

/* Stops watching. Readiness already collected for this watch is dropped. The descriptor stays open. */
void loop_remove(struct watch *watch);

/* Waits once, without a time limit, and serves everything that is ready. */
void loop_turn(void);

/* A timer on the monotonic clock. Embed it first in its owner, or use it alone. */
struct alarm_clock {
	struct watch watch;
	void (*rang)(struct alarm_clock *alarm);
};

/* Makes a timer that is not set. Returns 0 or an errno. */
int alarm_init(struct alarm_clock *alarm, void (*rang)(struct alarm_clock *alarm));

/* Rings after `after_nanos` (at least 1), then every `every_nanos` (0: once). */
void alarm_set(struct alarm_clock *alarm, uint64_t after_nanos, uint64_t every_nanos);
void alarm_clear(struct alarm_clock *alarm);

/* Nanoseconds of the monotonic clock. */
uint64_t monotonic_nanos(void);

#endif
