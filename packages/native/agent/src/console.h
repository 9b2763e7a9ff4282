/* The agent's few words on the console. They carry no protocol; the host learns everything from frames. */
#ifndef STILLPOINT_CONSOLE_H
#define STILLPOINT_CONSOLE_H

#include <stdint.h>

/* (Re)opens /dev/console as the agent's standard streams. */
void console_open(void);

/* Writes "stillpoint-agent: what[: detail][: error text]" and a newline. `detail` may be null, `error` 0. */
void console_say(const char *what, const char *detail, int error);

/* Writes a marker line for hosts that read them from the console: `text`, then `number` if not negative. */
void console_marker(const char *text, int64_t number);

/* Waits until the console's output has left the machine, at most 50 ms. */
void console_drain(void);

#endif
