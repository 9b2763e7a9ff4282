#include "host_commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "cgroup.h"
#include "console.h"
#include "custom_events.h"
#include "environment.h"
#include "exec.h"
#include "heartbeat.h"
#include "identity.h"
#include "identity_hook.h"
#include "identity_record.h"
#include "listeners.h"
#include "port.h"
#include "root.h"
#include "workload.h"

/* A workload freezes in far less; one that does not is stuck in the kernel. */
static const uint64_t FREEZE_LIMIT_NANOS = 1000000000;

/* `id` is the frame's command or token, null if it has none. */
static void reject(uint8_t frame, const uint32_t *id, enum reject_reason reason, const char *what, int error)
{
	port_reject(&(struct refusal){ .frame = frame, .id = id, .reason = reason, .what = what, .error = error });
}

static struct config *config;
static const char *hostname_said = ""; /* as the configuration in force has it */

static void configure_workload(void)
{
	if (strcmp(hostname_said, config->hostname) != 0 && sethostname(config->hostname, strlen(config->hostname)) < 0)
		console_say("the hostname cannot be set", config->hostname, errno);
	hostname_said = config->hostname;
	environment_configure(config->env.items);
	identity_hook_configure(config->identity_hook.items, config->cwd);
}

void host_commands_configure(struct config *from)
{
	config = from;
	configure_workload();
}

/* The identity that the guest's hook is at work on. */
static struct {
	bool is_pending;
	uint32_t token;
	bool and_thaw;
	int signal;
} pending;

static bool complete(const struct frame_reader *reader, uint8_t type)
{
	if (!frame_reader_complete(reader))
		reject(type, NULL, REASON_FRAME_MALFORMED, "the frame's payload does not have the fields of its type", 0);
	return frame_reader_complete(reader);
}

static void tell_token(uint8_t type, uint32_t token)
{
	struct frame_writer *writer = port_begin(type);

	frame_put_u32(writer, token);
	port_send_now(writer);
}

/* While the guest is to be still, the agent's own clocks do not wake it either. */
static void keep_still(bool on)
{
	heartbeat_pause(on);
	listeners_scan_pause(on);
	workload_keep_still(on);
}

static void go(struct frame_reader *reader)
{
	if (complete(reader, FRAME_GO) && !workload_go())
		reject(FRAME_GO, NULL, REASON_NOTHING_HELD, "no workload is being held", 0);
}

static struct terminal_size get_size(struct frame_reader *reader)
{
	uint16_t columns = frame_get_u16(reader);

	return (struct terminal_size){ columns, frame_get_u16(reader) };
}

static void exec(struct frame_reader *reader)
{
	struct exec_request request = { .id = frame_get_u32(reader) };
	struct string_list argv = frame_get_list(reader);
	struct string_list environment = frame_get_list(reader);
	char *cwd = frame_get_str(reader);
	request.input = frame_get_bytes(reader);
	request.close_input = frame_get_u8(reader) != 0;
	request.output_bytes = frame_get_u64(reader);
	char *user = frame_get_str(reader);
	request.terminal = get_size(reader);
	request.is_file_service = frame_get_u8(reader) != 0;

	if (complete(reader, FRAME_EXEC)) {
		request.argv = &argv;
		request.environment = &environment;
		request.cwd = cwd;
		request.user = user;
		if (argv.count > 0 && argv.items[0][0])
			exec_start(&request);
		else
			reject(FRAME_EXEC, &request.id, REASON_PROGRAM_MISSING, "a command needs a program", 0);
	}
	string_list_free(&argv);
	string_list_free(&environment);
	free(cwd);
	free(user);
}

static void exec_more(struct frame_reader *reader)
{
	uint32_t id = frame_get_u32(reader);
	uint64_t bytes = frame_get_u64(reader);

	if (complete(reader, FRAME_EXEC_WINDOW))
		exec_window(id, bytes);
}

static void exec_size(struct frame_reader *reader)
{
	uint32_t id = frame_get_u32(reader);
	struct terminal_size size = get_size(reader);

	if (complete(reader, FRAME_EXEC_RESIZE))
		exec_resize(id, size);
}

static void exec_stdin(struct frame_reader *reader)
{
	uint32_t id = frame_get_u32(reader);
	struct slice input = frame_get_bytes(reader);
	bool close_input = frame_get_u8(reader) != 0;

	if (complete(reader, FRAME_EXEC_STDIN))
		exec_input(id, input, close_input);
}

static void exec_signal(struct frame_reader *reader)
{
	uint32_t id = frame_get_u32(reader);
	int32_t signal = frame_get_i32(reader);

	if (complete(reader, FRAME_EXEC_KILL))
		exec_kill(id, signal);
}

static void freeze(struct frame_reader *reader)
{
	uint32_t token = frame_get_u32(reader);

	if (!complete(reader, FRAME_FREEZE))
		return;
	int error = cgroup_freeze_workload(FREEZE_LIMIT_NANOS);
	if (error) {
		reject(FRAME_FREEZE, &token, REASON_FREEZE_FAILED, "the workload does not freeze", error);
		return;
	}
	keep_still(true);
	sync();
	custom_events_drain();
	console_drain();
	tell_token(FRAME_AGENT_FROZEN, token);
}

/* Returns 0 or an errno. */
static int thaw_workload(void)
{
	int error = cgroup_thaw_workload();

	if (!error)
		keep_still(false);
	return error;
}

static void thaw(struct frame_reader *reader)
{
	uint32_t token = frame_get_u32(reader);

	if (!complete(reader, FRAME_THAW))
		return;
	if (pending.is_pending) {
		reject(FRAME_THAW, &token, REASON_THAW_FAILED, "the identity hook is at work", 0);
		return;
	}
	int error = thaw_workload();
	if (error)
		reject(FRAME_THAW, &token, REASON_THAW_FAILED, "the workload cannot be thawed", error);
	else
		tell_token(FRAME_AGENT_THAWED, token);
}

/*
 * The acknowledgement leaves the machine before the workload may continue, and AgentThawed says that it did. The signal is
 * pending before that: a frozen workload handles it with its first instruction. After a refusal the workload stays held or
 * frozen, until another identity is accepted.
 */
static void hook_ended(const struct hook_end *end)
{
	pending.is_pending = false;
	if (end->failed) {
		reject(FRAME_APPLY_IDENTITY, &pending.token, end->reason, end->message, end->error);
		return;
	}
	tell_token(FRAME_IDENTITY_APPLIED, pending.token);
	if (pending.signal > 0)
		workload_signal(pending.signal);
	workload_bar(false);
	if (!pending.and_thaw)
		return;
	int error = thaw_workload();
	if (error)
		reject(FRAME_APPLY_IDENTITY, &pending.token, REASON_THAW_FAILED, "the workload cannot be thawed", error);
	else
		tell_token(FRAME_AGENT_THAWED, pending.token);
}

static void run_hook(uint32_t token, const struct identity *identity, bool and_thaw)
{
	uint64_t limit = identity->hook_timeout_nanos > 0 ? identity->hook_timeout_nanos : config->identity_hook_nanos;

	pending.is_pending = true;
	pending.token = token;
	pending.and_thaw = and_thaw;
	pending.signal = identity->signal > 0 ? identity->signal : config->identity_signal;
	workload_bar(true);
	identity_hook_run(identity_record_environment(), limit, hook_ended);
}

static void apply_identity(struct frame_reader *reader)
{
	uint32_t token = frame_get_u32(reader);
	struct identity identity = { .entropy = frame_get_bytes(reader) };
	identity.realtime_nanos = frame_get_u64(reader);
	char *hostname = frame_get_str(reader);
	char *machine_id = frame_get_str(reader);
	identity.environment = frame_get_list(reader);
	bool and_thaw = frame_get_u8(reader) != 0;
	identity.hook_timeout_nanos = frame_get_u64(reader);
	identity.signal = frame_get_i32(reader);

	if (complete(reader, FRAME_APPLY_IDENTITY)) {
		enum reject_reason reason;
		int error;
		identity.hostname = hostname;
		identity.machine_id = machine_id;
		const char *problem = pending.is_pending ? "the hook is at work on another" : NULL;
		if (problem)
			reject(FRAME_APPLY_IDENTITY, &token, REASON_IDENTITY_INVALID, problem, 0);
		else if ((problem = identity_apply(&identity, &reason, &error)))
			reject(FRAME_APPLY_IDENTITY, &token, reason_of(error, reason), problem, error);
		else
			run_hook(token, &identity, and_thaw);
	}
	free(hostname);
	free(machine_id);
	string_list_free(&identity.environment);
}

static void set_clock(struct frame_reader *reader)
{
	uint64_t nanos = frame_get_u64(reader);

	if (!complete(reader, FRAME_SET_CLOCK))
		return;
	int error = identity_set_clock(nanos);
	if (error)
		reject(FRAME_SET_CLOCK, NULL, REASON_CLOCK_FAILED, "the clock cannot be set", error);
}

static void power_off_now(void)
{
	root_close();
	sync();
	console_drain();
	reboot(RB_POWER_OFF);
	reject(FRAME_POWER_OFF, NULL, REASON_POWER_OFF_FAILED, "the machine does not power off", 0);
}

static void power_off(struct frame_reader *reader)
{
	if (!complete(reader, FRAME_POWER_OFF))
		return;
	/* A frozen workload could not end. */
	if (config->stop_signal > 0)
		thaw_workload();
	workload_stop(config->stop_signal, config->stop_nanos, power_off_now);
}

/*
 * The settings are read into a configuration of their own, which takes the place of the present one once all is well with it:
 * after a refusal the guest is as before. Strings stay where the frame's list was copied to.
 */
static void start_workload(struct frame_reader *reader)
{
	uint32_t token = frame_get_u32(reader);
	struct string_list settings = frame_get_list(reader);
	struct config wanted = config_for_workload(config);
	const char *problem = NULL;

	if (!complete(reader, FRAME_START_WORKLOAD)) {
		string_list_free(&settings);
		return;
	}
	if (!workload_absent()) {
		reject(FRAME_START_WORKLOAD, &token, REASON_WORKLOAD_PRESENT, "the guest has its workload", 0);
		string_list_free(&settings);
		return;
	}
	for (uint32_t i = 0; i < settings.count && !problem; i++) {
		problem = config_workload_line(&wanted, settings.items[i]);
		if (problem)
			port_reject(&(struct refusal){ .frame = FRAME_START_WORKLOAD,
						       .id = &token,
						       .reason = REASON_WORKLOAD_INVALID,
						       .what = settings.items[i],
						       .detail = problem });
	}
	if (!problem && wanted.argv.count == 0) {
		problem = "a workload needs a program";
		reject(FRAME_START_WORKLOAD, &token, REASON_PROGRAM_MISSING, problem, 0);
	}
	struct config before = *config;
	if (!problem) {
		*config = wanted;
		configure_workload();
	}
	if (problem || !workload_prepare(config)) {
		*config = before;
		configure_workload();
		config_free(&wanted);
		string_list_free(&settings);
	}
}

void host_command(uint8_t type, struct slice payload)
{
	struct frame_reader reader = { payload.data, payload.length, 0, false };

	switch (type) {
	case FRAME_GO:
		go(&reader);
		break;
	case FRAME_EXEC:
		exec(&reader);
		break;
	case FRAME_EXEC_STDIN:
		exec_stdin(&reader);
		break;
	case FRAME_EXEC_KILL:
		exec_signal(&reader);
		break;
	case FRAME_EXEC_WINDOW:
		exec_more(&reader);
		break;
	case FRAME_EXEC_RESIZE:
		exec_size(&reader);
		break;
	case FRAME_CALLERS_LEFT:
		if (complete(&reader, type))
			exec_callers_left();
		break;
	case FRAME_FREEZE:
		freeze(&reader);
		break;
	case FRAME_THAW:
		thaw(&reader);
		break;
	case FRAME_APPLY_IDENTITY:
		apply_identity(&reader);
		break;
	case FRAME_SET_CLOCK:
		set_clock(&reader);
		break;
	case FRAME_START_WORKLOAD:
		start_workload(&reader);
		break;
	case FRAME_POWER_OFF:
		power_off(&reader);
		break;
	default:
		reject(type, NULL, REASON_FRAME_UNKNOWN, "no host frame has this type", 0);
	}
}
