#include "loop.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32 };

static int poller = -1;
static struct epoll_event batch[BATCH];
static int batch_count;

int loop_init(void)
{
	poller = epoll_create1(EPOLL_CLOEXEC);
	return poller < 0 ? errno : 0;
}

int loop_add(struct watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	return epoll_ctl(poller, EPOLL_CTL_ADD, watch->fd, &event) < 0 ? errno : 0;
}

void loop_remove(struct watch *watch)
{
	epoll_ctl(poller, EPOLL_CTL_DEL, watch->fd, NULL);
	for (int i = 0; i < batch_count; i++) {
		if (batch[i].data.ptr == watch)
			batch[i].data.ptr = NULL;
	}
}

void loop_turn(void)
{
	batch_count = epoll_wait(poller, batch, BATCH, -1);
	for (int i = 0; i < batch_count; i++) {
		struct watch *watch = batch[i].data.ptr;
		if (watch)
			watch->ready(watch, batch[i].events);
	}
	batch_count = 0;
}

static void alarm_ready(struct watch *watch, uint32_t events)
{
	struct alarm_clock *alarm = (struct alarm_clock *)watch;
	uint64_t expirations;

	(void)events;
	/* A timer that was set again since it became ready has nothing to read. */
	if (read(watch->fd, &expirations, sizeof(expirations)) == (ssize_t)sizeof(expirations))
		alarm->rang(alarm);
}

int alarm_init(struct alarm_clock *alarm, void (*rang)(struct alarm_clock *alarm))
{
	alarm->watch.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	alarm->watch.ready = alarm_ready;
	alarm->rang = rang;
	if (alarm->watch.fd < 0)
		return errno;
	return loop_add(&alarm->watch, EPOLLIN);
}

static struct timespec to_timespec(uint64_t nanos)
{
	return (struct timespec){ (time_t)(nanos / 1000000000), (long)(nanos % 1000000000) };
}

void alarm_set(struct alarm_clock *alarm, uint64_t after_nanos, uint64_t every_nanos)
{
	struct itimerspec spec = {
		.it_value = to_timespec(after_nanos > 0 ? after_nanos : 1),
		.it_interval = to_timespec(every_nanos),
	};

	timerfd_settime(alarm->watch.fd, 0, &spec, NULL);
}

void alarm_clear(struct alarm_clock *alarm)
{
	struct itimerspec spec = { 0 };

	timerfd_settime(alarm->watch.fd, 0, &spec, NULL);
}

uint64_t monotonic_nanos(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
