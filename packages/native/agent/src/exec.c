#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "environment.h"
#include "loop.h"
#include "port.h"
#include "spawn.h"
#include "text.h"

enum {
	COMMANDS_MAX = LIMIT_COMMANDS,
	/* Standard input that a command has not taken yet; more is refused. */
	INPUT_MAX = LIMIT_COMMAND_INPUT_BYTES,
	/* So much is taken before that is told: the host has three times as much on its way meanwhile. */
	TAKEN_STEP = INPUT_MAX / 4,
	/* One frame's worth of output, so that several commands share the port fairly. */
	CHUNK = LIMIT_COMMAND_OUTPUT_BYTES,
};

/* How long output may still come after a command has ended while others hold it open. */
static const uint64_t GRACE_NANOS = 50000000;

enum { OUT = 1, ERR = 2 };

struct stream {
	struct watch watch; /* first, so that a watch leads here */
	struct command *command;
	uint8_t number;
};

enum command_state { FREE, RUNNING, ENDING, DROPPING };

struct command {
	enum command_state state;
	uint32_t id;
	pid_t pid;
	int status;
	uint64_t ended_at;
	struct stream in, out, err;
	bool in_watched, close_in;
	uint8_t *input;
	size_t input_length, input_sent;
	size_t taken; /* of the input, since it was last told */
};

static struct command commands[COMMANDS_MAX];
static struct alarm_clock grace;
static bool confined;

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
		if ((commands[i].state == RUNNING || commands[i].state == ENDING) && commands[i].id == id)
			return &commands[i];
	}
	return NULL;
}

static void close_stream(struct stream *stream)
{
	if (stream->watch.fd < 0)
		return;
	loop_remove(&stream->watch);
	close(stream->watch.fd);
	stream->watch.fd = -1;
}

static void close_input(struct command *command)
{
	if (command->in_watched)
		loop_remove(&command->in.watch);
	command->in_watched = false;
	if (command->in.watch.fd >= 0)
		close(command->in.watch.fd);
	command->in.watch.fd = -1;
	free(command->input);
	command->input = NULL;
	command->input_length = command->input_sent = 0;
}

static void release(struct command *command)
{
	close_input(command);
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

/* Passes on what can be read now, at most one chunk. Returns true when something was there. */
static bool forward(struct stream *stream)
{
	static uint8_t chunk[CHUNK];
	ssize_t got = stream->watch.fd < 0 ? -1 : read(stream->watch.fd, chunk, sizeof(chunk));

	if (stream->watch.fd < 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
		return false;
	if (got <= 0) {
		close_stream(stream);
		return false;
	}
	if (stream->command->state != DROPPING) {
		struct frame_writer *writer = port_begin(FRAME_EXEC_OUTPUT);
		frame_put_u32(writer, stream->command->id);
		frame_put_u8(writer, stream->number);
		frame_put_bytes(writer, chunk, (size_t)got);
		port_send(writer);
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
	if (output_open(command))
		command->state = DROPPING;
	else
		release(command);
}

static void output_ready(struct watch *watch, uint32_t events)
{
	struct stream *stream = (struct stream *)watch;
	struct command *command = stream->command;

	(void)events;
	forward(stream);
	if (output_open(command))
		return;
	if (command->state == ENDING)
		tell_exited(command);
	else if (command->state == DROPPING)
		release(command);
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

static void grace_rang(struct alarm_clock *alarm)
{
	uint64_t now = monotonic_nanos();

	(void)alarm;
	for (int i = 0; i < COMMANDS_MAX; i++) {
		struct command *command = &commands[i];
		if (command->state != ENDING || now < command->ended_at + GRACE_NANOS)
			continue;
		/* What fits into the pipes was there by now; a writer that never stops does not hold this up. */
		for (int turn = 0; turn < 65536 / CHUNK; turn++) {
			bool more = forward(&command->out);
			if (!forward(&command->err) && !more)
				break;
		}
		tell_exited(command);
	}
	set_grace();
}

/* Input that the command has taken, or never will, makes room for more of it. */
static void tell_taken(struct command *command)
{
	struct frame_writer *writer = port_begin(FRAME_EXEC_INPUT_TAKEN);

	frame_put_u32(writer, command->id);
	frame_put_u64(writer, command->taken);
	command->taken = 0;
	port_send(writer);
}

/* Writes what the pipe takes. */
static void feed(struct command *command)
{
	while (command->input_sent < command->input_length) {
		ssize_t put = write(command->in.watch.fd, command->input + command->input_sent,
				    command->input_length - command->input_sent);
		if (put < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (put < 0) {
			/* The command reads no more. A host that waits for room learns so when it sends into it. */
			command->taken += command->input_length - command->input_sent;
			close_input(command);
			tell_taken(command);
			return;
		}
		command->input_sent += (size_t)put;
		command->taken += (size_t)put;
	}
	if (command->taken >= TAKEN_STEP)
		tell_taken(command);
	if (command->input_sent < command->input_length) {
		if (!command->in_watched && loop_add(&command->in.watch, EPOLLOUT) == 0)
			command->in_watched = true;
		return;
	}
	if (command->in_watched) {
		loop_remove(&command->in.watch);
		command->in_watched = false;
	}
	free(command->input);
	command->input = NULL;
	command->input_length = command->input_sent = 0;
	if (command->close_in)
		close_input(command);
}

static void input_ready(struct watch *watch, uint32_t events)
{
	(void)events;
	feed(((struct stream *)watch)->command);
}

/* Queues input. Returns 0 or an errno. */
static int queue(struct command *command, struct slice more)
{
	size_t waiting = command->input_length - command->input_sent;

	if (more.length == 0)
		return 0;
	if (waiting + more.length > INPUT_MAX)
		return ENOBUFS;
	uint8_t *grown = malloc(waiting + more.length);
	if (!grown)
		return ENOMEM;
	if (waiting > 0)
		memcpy(grown, command->input + command->input_sent, waiting);
	memcpy(grown + waiting, more.data, more.length);
	free(command->input);
	command->input = grown;
	command->input_length = waiting + more.length;
	command->input_sent = 0;
	return 0;
}

int exec_init(bool privileged)
{
	confined = !privileged;
	for (int i = 0; i < COMMANDS_MAX; i++) {
		struct command *command = &commands[i];
		command->in = (struct stream){ { -1, input_ready }, command, 0 };
		command->out = (struct stream){ { -1, output_ready }, command, OUT };
		command->err = (struct stream){ { -1, output_ready }, command, ERR };
	}
	return alarm_init(&grace, grace_rang);
}

static void close_pipes(int pipes[3][2])
{
	for (int i = 0; i < 3; i++) {
		for (int end = 0; end < 2; end++) {
			if (pipes[i][end] >= 0)
				close(pipes[i][end]);
		}
	}
}

static pid_t launch(int pipes[3][2], char *const *argv, char *const *environment, const char *cwd,
		    struct spawn_failure *failure)
{
	char **merged = environment_merge(NULL, environment);
	struct spawn_request request = {
		.argv = argv,
		.envp = merged,
		.cwd = *cwd ? cwd : "/",
		.cgroup = cgroup_exec(),
		.confined = confined,
	};

	if (!merged) {
		*failure = (struct spawn_failure){ "environment", ENOMEM };
		return -1;
	}
	for (int i = 0; i < 3; i++) {
		if (pipe2(pipes[i], O_CLOEXEC) < 0) {
			*failure = (struct spawn_failure){ "streams", errno };
			free(merged);
			return -1;
		}
		request.streams[i] = pipes[i][i == 0 ? 0 : 1];
		fcntl(pipes[i][i == 0 ? 1 : 0], F_SETFL, O_NONBLOCK);
	}
	pid_t pid = spawn(&request, NULL, failure);
	free(merged);
	return pid;
}

static void tell_failed(uint32_t id, const struct spawn_failure *failure)
{
	struct frame_writer *writer = port_begin(FRAME_EXEC_FAILED);

	frame_put_u32(writer, id);
	frame_put_str(writer, failure->stage);
	frame_put_i32(writer, failure->error);
	frame_put_str(writer, strerror(failure->error));
	port_send(writer);
}

void exec_start(uint32_t id, const struct string_list *argv, const struct string_list *environment, const char *cwd,
		struct slice input, bool close_after)
{
	int pipes[3][2] = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
	struct spawn_failure failure = { "slots", EAGAIN };

	if (find(id)) {
		reject(FRAME_EXEC, id, REASON_ID_IN_USE, "a command of this id is running", 0);
		return;
	}
	struct command *command = claim();
	pid_t pid = command ? launch(pipes, argv->items, environment->items, cwd, &failure) : -1;
	if (pid < 0) {
		close_pipes(pipes);
		tell_failed(id, &failure);
		return;
	}
	close(pipes[0][0]);
	close(pipes[1][1]);
	close(pipes[2][1]);
	command->state = RUNNING;
	command->id = id;
	command->pid = pid;
	command->close_in = close_after;
	command->in_watched = false;
	command->taken = 0;
	command->in.watch.fd = pipes[0][1];
	command->out.watch.fd = pipes[1][0];
	command->err.watch.fd = pipes[2][0];

	struct frame_writer *writer = port_begin(FRAME_EXEC_STARTED);
	frame_put_u32(writer, id);
	frame_put_u32(writer, (uint32_t)pid);
	port_send(writer);

	int error = queue(command, input);
	if (!error)
		error = loop_add(&command->out.watch, EPOLLIN);
	if (!error)
		error = loop_add(&command->err.watch, EPOLLIN);
	if (error)
		reject(FRAME_EXEC, id, reason_of(error, REASON_STREAMS_FAILED), "its streams cannot be served", error);
	feed(command);
}

void exec_input(uint32_t id, struct slice input, bool close_after)
{
	struct command *command = find(id);

	if (!command || command->in.watch.fd < 0 || command->close_in) {
		if (command)
			reject(FRAME_EXEC_STDIN, id, REASON_INPUT_CLOSED, "its input is closed", 0);
		else
			reject(FRAME_EXEC_STDIN, id, REASON_COMMAND_UNKNOWN, "no such command is running", 0);
		return;
	}
	int error = queue(command, input);
	if (error) {
		reject(FRAME_EXEC_STDIN, id, reason_of(error, REASON_INPUT_FULL), "its input is not taken", error);
		return;
	}
	command->close_in = close_after;
	feed(command);
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
		close_input(command);
		while (forward(&command->out) || forward(&command->err))
			if (monotonic_nanos() > command->ended_at + GRACE_NANOS)
				break;
		if (!output_open(command))
			tell_exited(command);
		set_grace();
		return true;
	}
	return false;
}
