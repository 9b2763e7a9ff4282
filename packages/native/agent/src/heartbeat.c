#include "heartbeat.h"

#include "console.h"
#include "frame.h"
#include "loop.h"
#include "port.h"

static struct alarm_clock clock;
static uint64_t period_nanos;
static uint64_t count;
static bool on_console;

static void beat(struct alarm_clock *alarm)
{
	struct frame_writer *writer = port_begin(FRAME_HEARTBEAT_TICK);

	(void)alarm;
	count++;
	frame_put_u64(writer, count);
	port_send(writer);
	if (on_console)
		console_marker("heartbeat counter=", (int64_t)count);
}

int heartbeat_start(uint64_t millis, bool marker)
{
	if (millis == 0)
		return 0;
	int error = alarm_init(&clock, beat);
	if (error)
		return error;
	period_nanos = millis * 1000000;
	on_console = marker;
	alarm_set(&clock, period_nanos, period_nanos);
	return 0;
}

void heartbeat_pause(bool paused)
{
	if (period_nanos == 0)
		return;
	if (paused)
		alarm_clear(&clock);
	else
		alarm_set(&clock, period_nanos, period_nanos);
}
