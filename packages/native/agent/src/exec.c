#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "environment.h"
#include "in_root.h"
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
	/* What a command may write before the agent has read it. */
	PIPE_BYTES = 256 * 1024,
};

/* How long output may still come after a command has ended while others hold it open. */
static const uint64_t GRACE_NANOS = 50000000;

enum { OUT = 1, ERR = 2 };

struct stream {
	struct watch watch; /* first, so that a watch leads here */
	struct command *command;
	uint8_t number;
	bool watched;
	size_t late; /* after the grace: bytes that had been written by then and are still to be told */
};

/*
 * RUNNING until its process has ended, ENDING while others may still write for it, LATE while what had been written by the
 * end of the grace is told, DROPPING while others hold its output open and what they write is read and dropped.
 */
enum command_state { FREE, RUNNING, ENDING, LATE, DROPPING };

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
	size_t taken;	 /* of the input, since it was last told */
	uint64_t window; /* bytes of output that may be told */
	bool terminal, discard;
};

static struct command commands[COMMANDS_MAX];
static struct alarm_clock grace;
static bool confined;
static int own_program = -1;

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

/* A stream is not looked at while nothing of it may be told: it waits in its pipe, and its writer with it. */
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

static void tell_held(const struct command *command)
{
	struct frame_writer *writer = port_begin(FRAME_EXEC_OUTPUT_HELD);

	frame_put_u32(writer, command->id);
	port_send(writer);
}

/* Passes on what can be read now and told, at most one chunk. Returns true when something was there. */
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

/* Tells the end of a command whose process has ended, once all its output is told. */
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

/* Tells what may be told of a command whose process has ended. */
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
		/* What is in the pipes now was there by now; a writer that never stops does not hold this up. */
		command->state = LATE;
		command->out.late = unread(&command->out);
		command->err.late = unread(&command->err);
		drain(command);
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

/* A terminal's programs are told of the end of their input by a character. */
static void end_input(struct command *command)
{
	static const char end_of_file = 4;

	if (command->terminal && command->in.watch.fd >= 0)
		while (write(command->in.watch.fd, &end_of_file, 1) < 0 && errno == EINTR)
			;
	close_input(command);
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
		end_input(command);
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
	own_program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < COMMANDS_MAX; i++) {
		struct command *command = &commands[i];
		command->in = (struct stream){ { -1, input_ready }, command, 0, false, 0 };
		command->out = (struct stream){ { -1, output_ready }, command, OUT, false, 0 };
		command->err = (struct stream){ { -1, output_ready }, command, ERR, false, 0 };
	}
	return alarm_init(&grace, grace_rang);
}

/* The agent's ends of a command's streams, and the command's. */
struct ends {
	int own[3], given[3];
};

static void close_all(const int fds[3])
{
	for (int i = 0; i < 3; i++) {
		/* A terminal's end is given several times. */
		bool again = (i > 0 && fds[i] == fds[0]) || (i > 1 && fds[i] == fds[1]);
		if (fds[i] >= 0 && !again)
			close(fds[i]);
	}
}

static int open_pipes(struct ends *ends)
{
	for (int i = 0; i < 3; i++) {
		int pipe[2];
		if (pipe2(pipe, O_CLOEXEC) < 0)
			return errno;
		ends->own[i] = pipe[i == 0 ? 1 : 0];
		ends->given[i] = pipe[i == 0 ? 0 : 1];
		fcntl(ends->own[i], F_SETFL, O_NONBLOCK);
		/* Where the kernel gives no more room, a command and the agent take turns more often. */
		fcntl(ends->own[i], F_SETPIPE_SZ, PIPE_BYTES);
	}
	return 0;
}

static int open_terminal(struct ends *ends, struct terminal_size size)
{
	struct winsize window = { .ws_row = size.rows, .ws_col = size.columns };
	int locked = 0;

	ends->own[1] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (ends->own[1] < 0 || ioctl(ends->own[1], TIOCSPTLCK, &locked) < 0)
		return errno;
	ends->own[0] = fcntl(ends->own[1], F_DUPFD_CLOEXEC, 0);
	ends->given[0] = ioctl(ends->own[1], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	ends->given[1] = ends->given[2] = ends->given[0];
	if (ends->own[0] < 0 || ends->given[0] < 0 || ioctl(ends->own[1], TIOCSWINSZ, &window) < 0)
		return errno;
	return 0;
}

/* Whom a command is to run as, by the names of the root that it runs in. Returns 0 or an errno. */
static int find_account(const char *user, struct account *account)
{
	static const char *const none[] = { NULL };
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *passwd = root < 0 ? NULL : in_root_read(root, "/etc/passwd");
	char *group = passwd ? in_root_read(root, "/etc/group") : NULL;
	const char *found;
	int error = group ? 0 : errno;

	if (group && account_resolve(account, user, none, passwd, group, &found))
		error = EINVAL;
	free(passwd);
	free(group);
	if (root >= 0)
		close(root);
	return error;
}

static pid_t launch(struct ends *ends, const struct exec_request *wanted, struct spawn_failure *failure)
{
	static struct account account;
	char **merged = environment_merge(NULL, wanted->environment->items);
	struct spawn_request request = {
		.argv = wanted->argv->items,
		.envp = merged,
		.cwd = *wanted->cwd ? wanted->cwd : "/",
		.program = wanted->is_file_service ? &own_program : NULL,
		.account = *wanted->user ? &account : NULL,
		.cgroup = cgroup_exec(),
		.confined = confined,
		.terminal = wanted->terminal.columns > 0,
	};

	int error = *wanted->user ? find_account(wanted->user, &account) : 0;
	if (error) {
		free(merged);
		*failure = (struct spawn_failure){ "user", error };
		return -1;
	}
	if (!merged) {
		*failure = (struct spawn_failure){ "environment", ENOMEM };
		return -1;
	}
	error = request.terminal ? open_terminal(ends, wanted->terminal) : open_pipes(ends);
	pid_t pid = -1;
	if (error) {
		*failure = (struct spawn_failure){ "streams", error };
	} else {
		memcpy(request.streams, ends->given, sizeof(request.streams));
		pid = spawn(&request, NULL, failure);
	}
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

void exec_start(const struct exec_request *wanted)
{
	struct ends ends = { { -1, -1, -1 }, { -1, -1, -1 } };
	struct spawn_failure failure;
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
	pid_t pid = launch(&ends, wanted, &failure);
	close_all(ends.given);
	if (pid < 0) {
		close_all(ends.own);
		tell_failed(id, &failure);
		return;
	}
	command->state = RUNNING;
	command->id = id;
	command->pid = pid;
	command->close_in = wanted->close_input;
	command->in_watched = false;
	command->taken = 0;
	command->window = wanted->output_bytes;
	command->terminal = wanted->terminal.columns > 0;
	command->discard = false;
	command->in.watch.fd = ends.own[0];
	command->out.watch.fd = ends.own[1];
	command->err.watch.fd = ends.own[2];
	command->out.late = command->err.late = 0;

	struct frame_writer *writer = port_begin(FRAME_EXEC_STARTED);
	frame_put_u32(writer, id);
	frame_put_u32(writer, (uint32_t)pid);
	port_send(writer);

	int error = queue(command, wanted->input);
	if (!error)
		error = watch_stream(&command->out, command->window > 0);
	if (!error)
		error = watch_stream(&command->err, command->window > 0);
	if (error)
		reject(FRAME_EXEC, id, reason_of(error, REASON_STREAMS_FAILED), "its streams cannot be served", error);
	feed(command);
}

void exec_window(uint32_t id, uint64_t bytes)
{
	struct command *command = find(id);

	/* One that has ended meanwhile had nothing more to say. */
	if (!command)
		return;
	command->discard |= bytes == 0;
	command->window = bytes > UINT64_MAX - command->window ? UINT64_MAX : command->window + bytes;
	watch_stream(&command->out, true);
	watch_stream(&command->err, true);
	if (command->state != RUNNING)
		drain(command);
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
		drain(command);
		set_grace();
		return true;
	}
	return false;
}
