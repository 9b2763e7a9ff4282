/*
 * Frames that nobody would send, under sanitizers: the decoder and every reader of a host frame, with the parts behind them
 * replaced by stand-ins that check what they are handed.
 *
 *   fuzz [ROUNDS [SEED]]
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "console.h"
#include "custom_events.h"
#include "environment.h"
#include "exec.h"
#include "frame.h"
#include "heartbeat.h"
#include "host_commands.h"
#include "identity.h"
#include "identity_hook.h"
#include "identity_record.h"
#include "listeners.h"
#include "port.h"
#include "root.h"
#include "workload.h"

static uint64_t random_state;
static unsigned long served, refused;

static uint32_t random_below(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32) % limit;
}

static void require(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz: %s\n", what);
	abort();
}

/* Touches every byte, so that the sanitizers see one that is not there. */
static void read_bytes(const void *data, size_t length)
{
	static volatile uint8_t sink;

	for (size_t i = 0; i < length; i++)
		sink ^= ((const uint8_t *)data)[i];
}

static void read_list(const struct string_list *list)
{
	require(list->items != NULL && list->items[list->count] == NULL, "a list ends with a null pointer");
	for (uint32_t i = 0; i < list->count; i++)
		read_bytes(list->items[i], strlen(list->items[i]) + 1);
}

/* The stand-ins. */

static uint8_t answer[FRAME_BYTES_MAX];
static struct frame_writer answer_writer;

struct frame_writer *port_begin(uint8_t type)
{
	frame_begin(&answer_writer, answer, sizeof(answer), type);
	return &answer_writer;
}

void port_send_now(struct frame_writer *writer)
{
	require(frame_end(writer) > 0, "an answer fits into a frame");
	served++;
}

void port_reject(const struct refusal *refusal)
{
	require(refusal->what != NULL, "a refusal says what");
	refused++;
}

enum reject_reason reason_of(int error, enum reject_reason otherwise)
{
	return error ? REASON_FAILED : otherwise;
}

void exec_start(const struct exec_request *request)
{
	require(request->argv->count > 0 && request->argv->items[0][0] != 0, "a command has a program");
	read_list(request->argv);
	read_list(request->environment);
	read_bytes(request->cwd, strlen(request->cwd) + 1);
	read_bytes(request->user, strlen(request->user) + 1);
	read_bytes(request->input.data, request->input.length);
	served++;
}

void exec_window(uint32_t id, uint64_t bytes)
{
	(void)id;
	(void)bytes;
	served++;
}

void exec_resize(uint32_t id, struct terminal_size size)
{
	(void)id;
	(void)size;
	served++;
}

void exec_input(uint32_t id, struct slice input, bool close_input)
{
	(void)id;
	(void)close_input;
	read_bytes(input.data, input.length);
	served++;
}

void exec_callers_left(void)
{
	served++;
}

void exec_kill(uint32_t id, int signal)
{
	(void)id;
	(void)signal;
	served++;
}

const char *identity_apply(const struct identity *identity, enum reject_reason *reason, int *error)
{
	read_bytes(identity->entropy.data, identity->entropy.length);
	read_bytes(identity->hostname, strlen(identity->hostname) + 1);
	read_bytes(identity->machine_id, strlen(identity->machine_id) + 1);
	read_list(&identity->environment);
	*reason = REASON_IDENTITY_INVALID;
	*error = 0;
	return random_below(2) ? "refused" : NULL;
}

static void (*hook_ended)(const struct hook_end *end);

void identity_hook_run(char *const *environment, uint64_t limit_nanos, void (*ended)(const struct hook_end *end))
{
	(void)environment;
	(void)limit_nanos;
	require(hook_ended == NULL, "one hook at a time");
	hook_ended = ended;
}

/* A hook ends now and then, so that frames also arrive while it runs. */
static void end_hook(void)
{
	void (*ended)(const struct hook_end *end) = hook_ended;

	hook_ended = NULL;
	if (ended)
		ended(&(struct hook_end){ random_below(2) != 0, REASON_HOOK_FAILED, "failed", 0 });
}

char *const *identity_record_environment(void)
{
	static char *const none[] = { NULL };

	return none;
}

int identity_set_clock(uint64_t nanos)
{
	return nanos % 2 ? 22 : 0;
}

bool workload_go(void)
{
	return random_below(2) != 0;
}

int cgroup_freeze_workload(uint64_t limit_nanos)
{
	return limit_nanos == 0 ? 0 : (int)random_below(2);
}

int cgroup_thaw_workload(void)
{
	return (int)random_below(2);
}

void workload_keep_still(bool on)
{
	(void)on;
}

void workload_bar(bool on)
{
	(void)on;
}

void workload_signal(int signal)
{
	require(signal > 0, "a signal has a number");
}

/* A guest has one workload: what it was started with is kept from then on. */
static bool workload_present;

bool workload_absent(void)
{
	return !workload_present && random_below(4) != 0;
}

/* Mostly it cannot be started, and is forgotten then. */
bool workload_prepare(const struct config *from)
{
	require(from->argv.count > 0, "a workload has a program");
	for (char *const *item = from->argv.items; *item; item++)
		read_bytes(*item, strlen(*item) + 1);
	for (char *const *item = from->volumes.items; *item; item++)
		read_bytes(*item, strlen(*item) + 1);
	workload_present = random_below(3000) == 0;
	return workload_present;
}

void workload_stop(int signal, uint64_t limit_nanos, void (*ended)(void))
{
	require(signal >= 0 && limit_nanos > 0, "a workload is stopped by a signal, in time");
	ended();
}

void root_close(void)
{
}

void environment_configure(char *const *items)
{
	for (; *items; items++)
		read_bytes(*items, strlen(*items) + 1);
}

void identity_hook_configure(char *const *argv, const char *cwd)
{
	read_bytes(cwd, strlen(cwd) + 1);
	for (; *argv; argv++)
		read_bytes(*argv, strlen(*argv) + 1);
}

void console_say(const char *what, const char *detail, int error)
{
	(void)what;
	(void)detail;
	(void)error;
}

void heartbeat_pause(bool paused)
{
	(void)paused;
}

void listeners_scan_pause(bool paused)
{
	(void)paused;
}

void custom_events_drain(void)
{
}

void console_drain(void)
{
}

/* Stand in for the C library's: this is not the guest. */
void sync(void)
{
}

int sethostname(const char *name, size_t length)
{
	read_bytes(name, length);
	return 0;
}

int reboot(int how);
int reboot(int how)
{
	(void)how;
	return -1;
}

/* The frames: one as it should be, then changed. */

static uint8_t frame[FRAME_BYTES_MAX];

static char *const words[] = { "sh", "-c", "", "A=1", "a longer one with spaces", NULL };

static void put_words(struct frame_writer *writer)
{
	frame_put_list(writer, words + random_below(6));
}

static char *const settings[] = { "env=A=%41", "argv=b%0Ac", "cwd=/", "user=0:0", "volume=rw ext4 a /a", "stopSignal=15",
				  "rootReadOnly=1", "scratchBytes=99", "hostname=h", "identityHook=/h", "argv=/bin/a", NULL, "port=/dev/x", NULL };

static size_t make_frame(void)
{
	static const uint8_t types[] = { FRAME_GO,	  FRAME_EXEC,	       FRAME_EXEC_STDIN, FRAME_EXEC_KILL, FRAME_FREEZE,
					 FRAME_THAW,	  FRAME_APPLY_IDENTITY, FRAME_POWER_OFF,	 FRAME_SET_CLOCK, FRAME_START_WORKLOAD,
					 FRAME_EXEC_WINDOW, FRAME_EXEC_RESIZE, 0x00 };
	uint8_t type = types[random_below(sizeof(types))];
	struct frame_writer writer;

	frame_begin(&writer, frame, sizeof(frame), type);
	if (type != FRAME_GO && type != FRAME_POWER_OFF && type != FRAME_SET_CLOCK)
		frame_put_u32(&writer, random_below(5));
	if (type == FRAME_EXEC) {
		put_words(&writer);
		put_words(&writer);
		frame_put_str(&writer, words[random_below(5)]);
		frame_put_bytes(&writer, answer, random_below(300));
		frame_put_u8(&writer, (uint8_t)random_below(2));
		frame_put_u64(&writer, random_below(3));
		frame_put_str(&writer, words[random_below(5)]);
		frame_put_u16(&writer, (uint16_t)random_below(3));
		frame_put_u16(&writer, (uint16_t)random_below(3));
		frame_put_u8(&writer, (uint8_t)random_below(2));
	} else if (type == FRAME_EXEC_STDIN) {
		frame_put_bytes(&writer, answer, random_below(2000));
		frame_put_u8(&writer, (uint8_t)random_below(2));
	} else if (type == FRAME_EXEC_KILL) {
		frame_put_i32(&writer, (int32_t)random_below(200) - 20);
	} else if (type == FRAME_EXEC_WINDOW) {
		frame_put_u64(&writer, random_below(3));
	} else if (type == FRAME_EXEC_RESIZE) {
		frame_put_u32(&writer, random_below(3));
	} else if (type == FRAME_APPLY_IDENTITY) {
		frame_put_bytes(&writer, answer, random_below(80));
		frame_put_u64(&writer, random_below(3));
		frame_put_str(&writer, words[random_below(5)]);
		frame_put_str(&writer, words[random_below(5)]);
		put_words(&writer);
		frame_put_u8(&writer, (uint8_t)random_below(2));
		frame_put_u64(&writer, random_below(3));
		frame_put_i32(&writer, (int32_t)random_below(3));
	} else if (type == FRAME_START_WORKLOAD) {
		frame_put_list(&writer, settings + random_below(sizeof(settings) / sizeof(settings[0])));
	} else if (type == FRAME_SET_CLOCK) {
		frame_put_u64(&writer, random_below(1000));
	}
	return frame_end(&writer);
}

static size_t change(size_t length)
{
	for (uint32_t changes = random_below(4); changes > 0; changes--) {
		size_t at = random_below((uint32_t)length);
		switch (random_below(4)) {
		case 0:
			frame[at] = (uint8_t)random_below(256);
			break;
		case 1:
			/* Lengths and counts at their borders. */
			memset(frame + at, random_below(2) ? 0xff : 0, length - at < 4 ? length - at : 4);
			break;
		case 2:
			length = at > 5 ? at : length;
			break;
		default:
			frame[at] ^= (uint8_t)(1u << random_below(8));
		}
	}
	return length;
}

/* A payload alone in its own allocation: what is read beyond it is found. */
static void serve_alone(size_t length)
{
	uint8_t *payload = malloc(length);

	if (!payload)
		abort();
	memcpy(payload, frame + 5, length - 5);
	host_command(frame[4], (struct slice){ payload, (uint32_t)(length - 5) });
	free(payload);
}

/* Through the decoder, in pieces, as the port does. */
static void serve_streamed(struct frame_decoder *decoder, size_t length)
{
	for (size_t sent = 0; sent < length;) {
		uint8_t *into, type;
		struct slice payload;
		size_t room = frame_decoder_space(decoder, &into);
		size_t piece = 1 + random_below(random_below(4) ? 4000 : 3);
		piece = piece > length - sent ? length - sent : piece;
		piece = piece > room ? room : piece;
		require(room > 0, "a decoder that waits for more has room for it");
		memcpy(into, frame + sent, piece);
		frame_decoder_filled(decoder, piece);
		sent += piece;
		for (enum decode_result result; (result = frame_decoder_next(decoder, &type, &payload)) != DECODE_MORE;) {
			if (result == DECODE_BAD_LENGTH) {
				frame_decoder_reset(decoder);
				return;
			}
			host_command(type, payload);
		}
	}
}

int main(int argc, char **argv)
{
	static struct frame_decoder decoder;
	static struct config config;
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;

	random_state = argc > 2 ? strtoull(argv[2], NULL, 10) | 1 : 0x9e3779b97f4a7c15;
	config_init(&config);
	config.identity_hook_nanos = 1;
	config.identity_signal = 10;
	host_commands_configure(&config);
	for (unsigned long round = 0; round < rounds; round++) {
		size_t length = change(make_frame());
		if (random_below(2))
			serve_alone(length);
		else
			serve_streamed(&decoder, length);
		if (random_below(8) == 0)
			end_hook();
	}
	printf("%lu frames, %lu served, %lu refused\n", rounds, served, refused);
	/* Both happened often, so neither was all that was tried. */
	return served > rounds / 10 && refused > rounds / 10 ? 0 : 1;
}
