#include "console.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

void console_open(void)
{
	/* The workload can stop the console's output; that must not stop the agent. */
	int fd = open("/dev/console", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	for (int standard = 0; standard < 3; standard++) {
		if (fd != standard)
			dup2(fd, standard);
	}
	if (fd > 2)
		close(fd);
}

static void put(struct text *line)
{
	/* The console is a courtesy: a failed or short write is not worth failing for. */
	if (write(STDERR_FILENO, line->bytes, line->length) < 0)
		return;
}

void console_say(const char *what, const char *detail, int error)
{
	struct text line;

	text_start(&line, "stillpoint-agent: ");
	text_add(&line, what);
	if (detail) {
		text_add(&line, ": ");
		text_add(&line, detail);
	}
	if (error) {
		text_add(&line, ": ");
		text_add(&line, strerror(error));
	}
	text_add(&line, "\n");
	put(&line);
}

void console_marker(const char *text, int64_t number)
{
	struct text line;

	text_start(&line, text);
	if (number >= 0)
		text_add_number(&line, (uint64_t)number);
	text_add(&line, "\n");
	put(&line);
}

void console_drain(void)
{
	const struct timespec pause = { 0, 1000000 };
	int waiting = 0;

	for (int turn = 0; turn < 50 && ioctl(STDERR_FILENO, TIOCOUTQ, &waiting) == 0 && waiting > 0; turn++)
		nanosleep(&pause, NULL);
}
