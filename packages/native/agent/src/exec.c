#include "exec.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec_input.h"
#include "loop.h"
#include "port.h"
#include "text.h"

enum {
	COMMANDS_MAX = LIMIT_COMMANDS,
	/* One frame's worth of output, so that several commands share the port fairly. */
	CHUNK = LIMIT_COMMAND_OUTPUT_BYTES,
	/* A command that has transferred this much will probably continue. */
	MUCH = LIMIT_COMMAND_MUCH_BYTES,
};

/* Time for further output after a command has ended while other processes hold its pipes open. */
static const uint64_t GRACE_NANOS = 50000000;

/* Maximum wait for file operations that were killed because their callers are elsewhere. */
static const uint64_t LEAVE_NANOS = 1000000000;

/* Maximum wait for the removal of what they had made by then: it may be a large tree. */
static const uint64_t REMOVAL_NANOS = 10000000000;

enum { OUT = 1, ERR = 2 };

struct stream {
	struct watch watch; /* first, so that a watch leads here */
	struct command *command;
	uint8_t number;
	bool watched;
	size_t late; /* after the grace: bytes that had been written by then and are still to be told */
};

/*
 * RUNNING until its process has ended, ENDING while others may still write for it, LATE while output written before the
 * end of the grace is sent, DROPPING while others hold its output open and their output is read and dropped.
 */
enum command_state { FREE, RUNNING, ENDING, LATE, DROPPING };

struct command {
	enum command_state state;
	uint32_t id;
	pid_t pid;
	int status;
	uint64_t ended_at;
	struct command_input input;
	struct stream out, err;
	uint64_t window; /* bytes of output that may be told */
	uint64_t moved;	 /* bytes of input and output */
	bool terminal, discard, is_file_service;
};

static struct command commands[COMMANDS_MAX];
static struct alarm_clock grace;

static void reject(uint8_t frame, uint32_t id, enum reject_reason reason, const char *what, int error)
{
	struct text message;

	text_start(&message, "exec ");
	text_add_number(&message, id);
	port_reject(&(struct refusal){ frame, &id, reason, message.bytes, what, error });
}

static struct command *find(uint32_t id)
{
	for (int i = 0; i < COMMANDS_MAX; i++) {
		if (commands[i].state != FREE && commands[i].state != DROPPING && commands[i].id == id)
			return &commands[i];
	}
	return NULL;
}

/* A stream is not read while its window is used up: data waits in its pipe, and its writer with it. */
static int watch_stream(struct stream *stream, bool on)
{
	if (stream->watch.fd < 0 || stream->watched == on)
		return 0;
	if (!on)
		loop_remove(&stream->watch);
	int error = on ? loop_add(&stream->watch, EPOLLIN) : 0;
	stream->watched = on && !error;
	return error;
}

static void close_stream(struct stream *stream)
{
	if (stream->watch.fd < 0)
		return;
	watch_stream(stream, false);
	close(stream->watch.fd);
	stream->watch.fd = -1;
	stream->late = 0;
}

static void release(struct command *command)
{
	input_close(&command->input);
	close_stream(&command->out);
	close_stream(&command->err);
	command->state = FREE;
}

/* A slot for a further command. One whose command has ended and is only being drained can be given up. */
static struct command *claim(void)
{
	struct command *oldest = NULL;

	for (int i = 0; i < COMMANDS_MAX; i++) {
		struct command *command = &commands[i];
		if (command->state == FREE)
			return command;
		if (command->state == DROPPING && (!oldest || command->ended_at < oldest->ended_at))
			oldest = command;
	}
	if (oldest)
		release(oldest);
	return oldest;
}

static void tell_held(const struct command *command)
{
	struct frame_writer *writer = port_begin(FRAME_EXEC_OUTPUT_HELD);

	frame_put_u32(writer, command->id);
	port_send(writer);
}

/* To be called before a frame is begun. */
static void count_moved(struct command *command, size_t bytes)
{
	command->moved += bytes;
	if (command->moved >= MUCH)
		port_expect_much();
}

/* Sends the data that can be read now and fits the window, at most one chunk. Returns true if there was any. */
static bool forward(struct stream *stream)
{
	static uint8_t chunk[CHUNK];
	struct command *command = stream->command;
	bool is_told = command->state != DROPPING && !command->discard;
	size_t most = sizeof(chunk);

	if (stream->watch.fd < 0)
		return false;
	if (is_told && command->window < most)
		most = (size_t)command->window;
	if (command->state == LATE && stream->late < most)
		most = stream->late;
	if (most == 0) {
		watch_stream(stream, false);
		return false;
	}
	ssize_t got = read(stream->watch.fd, chunk, most);
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		stream->late = 0;
		return false;
	}
	/* A terminal whose programs have all gone reads as an error. */
	if (got <= 0) {
		close_stream(stream);
		return false;
	}
	if (command->state == LATE)
		stream->late -= (size_t)got;
	if (is_told) {
		command->window -= (uint64_t)got;
		count_moved(command, (size_t)got);
		struct frame_writer *writer = port_begin(FRAME_EXEC_OUTPUT);
		frame_put_u32(writer, command->id);
		frame_put_u8(writer, stream->number);
		frame_put_bytes(writer, chunk, (size_t)got);
		port_send(writer);
		if (command->window == 0)
			tell_held(command);
	}
	return true;
}

static bool output_open(const struct command *command)
{
	return command->out.watch.fd >= 0 || command->err.watch.fd >= 0;
}

static void tell_exited(struct command *command)
{
	struct frame_writer *writer = port_begin(FRAME_EXEC_EXITED);
	bool signalled = WIFSIGNALED(command->status);

	frame_put_u32(writer, command->id);
	frame_put_u8(writer, signalled ? 1 : 0);
	frame_put_i32(writer, signalled ? WTERMSIG(command->status) : WEXITSTATUS(command->status));
	port_send(writer);
	if (output_open(command)) {
		command->state = DROPPING;
		watch_stream(&command->out, true);
		watch_stream(&command->err, true);
	} else {
		release(command);
	}
}

/* Reports the end of a command whose process has ended, once all its output is sent. */
static void settle(struct command *command)
{
	if (command->state == LATE && command->out.late == 0 && command->err.late == 0)
		tell_exited(command);
	else if (output_open(command))
		return;
	else if (command->state == ENDING || command->state == LATE)
		tell_exited(command);
	else if (command->state == DROPPING)
		release(command);
}

static void output_ready(struct watch *watch, uint32_t events)
{
	struct stream *stream = (struct stream *)watch;
	struct command *command = stream->command;

	(void)events;
	forward(stream);
	settle(command);
}

static void set_grace(void)
{
	uint64_t now = monotonic_nanos(), next = 0;

	for (int i = 0; i < COMMANDS_MAX; i++) {
		if (commands[i].state == ENDING) {
			uint64_t due = commands[i].ended_at + GRACE_NANOS;
			uint64_t wait = due > now ? due - now : 1;
			next = next == 0 || wait < next ? wait : next;
		}
	}
	if (next > 0)
		alarm_set(&grace, next, 0);
	else
		alarm_clear(&grace);
}

static size_t unread(const struct stream *stream)
{
	int count = 0;

	return stream->watch.fd >= 0 && ioctl(stream->watch.fd, FIONREAD, &count) == 0 && count > 0 ? (size_t)count : 0;
}

/* Sends output of a command whose process has ended, as far as the window allows. */
static void drain(struct command *command)
{
	while (forward(&command->out) || forward(&command->err))
		if (command->state == ENDING && monotonic_nanos() > command->ended_at + GRACE_NANOS)
			break;
	settle(command);
}

static void grace_rang(struct alarm_clock *alarm)
{
	uint64_t now = monotonic_nanos();

	(void)alarm;
	for (int i = 0; i < COMMANDS_MAX; i++) {
		struct command *command = &commands[i];
		if (command->state != ENDING || now < command->ended_at + GRACE_NANOS)
			continue;
		/* The present content of the pipes was written by now; a writer that never stops does not delay the end. */
		command->state = LATE;
		command->out.late = unread(&command->out);
		command->err.late = unread(&command->err);
		drain(command);
	}
	set_grace();
}

int exec_init(bool privileged)
{
	launch_init(privileged);
	for (int i = 0; i < COMMANDS_MAX; i++) {
		struct command *command = &commands[i];
		input_init(&command->input);
		command->out = (struct stream){ { -1, output_ready }, command, OUT, false, 0 };
		command->err = (struct stream){ { -1, output_ready }, command, ERR, false, 0 };
	}
	return alarm_init(&grace, grace_rang);
}

static void tell_failed(uint32_t id, const struct spawn_failure *failure)
{
	struct frame_writer *writer = port_begin(FRAME_EXEC_FAILED);

	frame_put_u32(writer, id);
	frame_put_str(writer, failure->step);
	frame_put_i32(writer, failure->error);
	frame_put_str(writer, failure->message ? failure->message : strerror(failure->error));
	port_send(writer);
}

void exec_start(const struct exec_request *wanted)
{
	struct spawn_failure failure;
	int ends[3];
	uint32_t id = wanted->id;

	if (find(id)) {
		reject(FRAME_EXEC, id, REASON_ID_IN_USE, "a command of this id is running", 0);
		return;
	}
	struct command *command = claim();
	if (!command) {
		reject(FRAME_EXEC, id, REASON_COMMANDS_FULL, "as many commands run as there is room for", 0);
		return;
	}
	pid_t pid = launch(wanted, ends, &failure);
	if (pid < 0) {
		tell_failed(id, &failure);
		return;
	}
	command->state = RUNNING;
	command->id = id;
	command->pid = pid;
	command->window = wanted->output_bytes;
	command->terminal = wanted->terminal.columns > 0;
	command->discard = false;
	command->is_file_service = wanted->is_file_service;
	command->moved = 0;
	input_open(&command->input, ends[0], id, command->terminal);
	command->out.watch.fd = ends[1];
	command->err.watch.fd = ends[2];
	command->out.late = command->err.late = 0;

	struct frame_writer *writer = port_begin(FRAME_EXEC_STARTED);
	frame_put_u32(writer, id);
	frame_put_u32(writer, (uint32_t)pid);
	port_send(writer);

	count_moved(command, wanted->input.length);
	int error = input_queue(&command->input, wanted->input);
	if (!error)
		error = watch_stream(&command->out, command->window > 0);
	if (!error)
		error = watch_stream(&command->err, command->window > 0);
	if (error)
		reject(FRAME_EXEC, id, reason_of(error, REASON_STREAMS_FAILED), "its streams cannot be served", error);
	command->input.ends = wanted->close_input;
	input_feed(&command->input);
}

static void widen(struct command *command, uint64_t bytes)
{
	command->discard |= bytes == 0;
	command->window = bytes > UINT64_MAX - command->window ? UINT64_MAX : command->window + bytes;
	watch_stream(&command->out, true);
	watch_stream(&command->err, true);
	if (command->state != RUNNING)
		drain(command);
}

void exec_window(uint32_t id, uint64_t bytes)
{
	struct command *command = find(id);

	/* A command that has ended meanwhile has no more output. */
	if (command)
		widen(command, bytes);
}

/* Waits until the command's process has ended, not beyond `latest`: one may be stuck in the kernel. */
static void await_end(pid_t pid, uint64_t latest)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0), status;
	struct pollfd ended = { .fd = fd, .events = POLLIN };
	uint64_t now = monotonic_nanos();

	if (fd >= 0 && now < latest)
		poll(&ended, 1, (int)((latest - now) / 1000000) + 1);
	if (fd >= 0)
		close(fd);
	if (waitpid(pid, &status, WNOHANG) == pid)
		exec_reaped(pid, status);
}

/* Waits until nothing holds standard error of a file operation that has ended: what removes its leftovers does. */
static void await_removal(struct command *command, uint64_t latest)
{
	for (uint64_t now; command->err.watch.fd >= 0 && (now = monotonic_nanos()) < latest;) {
		struct pollfd held = { .fd = command->err.watch.fd, .events = POLLIN };
		if (poll(&held, 1, (int)((latest - now) / 1000000) + 1) > 0)
			drain(command);
	}
}

void exec_callers_left(void)
{
	uint64_t latest = monotonic_nanos() + LEAVE_NANOS;

	for (int i = 0; i < COMMANDS_MAX; i++) {
		struct command *command = &commands[i];
		if (command->state == RUNNING && command->is_file_service)
			kill(-command->pid, SIGKILL);
	}
	for (int i = 0; i < COMMANDS_MAX; i++) {
		struct command *command = &commands[i];
		if (command->state != FREE && command->state != DROPPING)
			widen(command, 0);
		if (command->state == RUNNING && command->is_file_service)
			await_end(command->pid, latest);
	}
	latest = monotonic_nanos() + REMOVAL_NANOS;
	for (int i = 0; i < COMMANDS_MAX; i++) {
		struct command *command = &commands[i];
		if (command->state != FREE && command->state != RUNNING && command->is_file_service)
			await_removal(command, latest);
	}
}

void exec_resize(uint32_t id, struct terminal_size size)
{
	struct winsize window = { .ws_row = size.rows, .ws_col = size.columns };
	struct command *command = find(id);

	if (!command)
		reject(FRAME_EXEC_RESIZE, id, REASON_COMMAND_UNKNOWN, "no such command is running", 0);
	else if (!command->terminal)
		reject(FRAME_EXEC_RESIZE, id, REASON_NOT_A_TERMINAL, "it has no terminal", 0);
	else
		ioctl(command->out.watch.fd, TIOCSWINSZ, &window);
}

void exec_input(uint32_t id, struct slice input, bool close_after)
{
	struct command *command = find(id);

	if (!command || command->input.watch.fd < 0 || command->input.ends) {
		if (command)
			reject(FRAME_EXEC_STDIN, id, REASON_INPUT_CLOSED, "its input is closed", 0);
		else
			reject(FRAME_EXEC_STDIN, id, REASON_COMMAND_UNKNOWN, "no such command is running", 0);
		return;
	}
	count_moved(command, input.length);
	int error = input_queue(&command->input, input);
	if (error) {
		reject(FRAME_EXEC_STDIN, id, reason_of(error, REASON_INPUT_FULL), "its input is not taken", error);
		return;
	}
	command->input.ends = close_after;
	input_feed(&command->input);
}

void exec_kill(uint32_t id, int signal)
{
	struct command *command = find(id);

	if (!command || command->state != RUNNING)
		reject(FRAME_EXEC_KILL, id, REASON_COMMAND_UNKNOWN, "no such command is running", 0);
	else if (signal < 1 || signal > SIGRTMAX)
		reject(FRAME_EXEC_KILL, id, REASON_SIGNAL_INVALID, "no such signal", 0);
	else if (kill(-command->pid, signal) < 0)
		reject(FRAME_EXEC_KILL, id, REASON_SIGNAL_INVALID, "it cannot be signalled", errno);
}

bool exec_reaped(pid_t pid, int status)
{
	for (int i = 0; i < COMMANDS_MAX; i++) {
		struct command *command = &commands[i];
		if (command->state != RUNNING || command->pid != pid)
			continue;
		command->state = ENDING;
		command->status = status;
		command->ended_at = monotonic_nanos();
		input_close(&command->input);
		drain(command);
		set_grace();
		return true;
	}
	return false;
}
