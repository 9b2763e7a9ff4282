#include "host_commands.h"

#include <stdlib.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "cgroup.h"
#include "console.h"
#include "custom_events.h"
#include "exec.h"
#include "heartbeat.h"
#include "identity.h"
#include "listeners.h"
#include "port.h"
#include "workload.h"

/* A workload freezes in far less; one that does not is stuck in the kernel. */
static const uint64_t FREEZE_LIMIT_NANOS = 1000000000;

static bool complete(const struct frame_reader *reader, uint8_t type)
{
	if (!frame_reader_complete(reader))
		port_reject(type, "the frame's payload does not have the fields of its type", NULL, 0);
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
		port_reject(FRAME_GO, "no workload is being held", NULL, 0);
}

static void exec(struct frame_reader *reader)
{
	uint32_t id = frame_get_u32(reader);
	struct string_list argv = frame_get_list(reader);
	struct string_list environment = frame_get_list(reader);
	char *cwd = frame_get_str(reader);
	struct slice input = frame_get_bytes(reader);
	bool close_input = frame_get_u8(reader) != 0;

	if (complete(reader, FRAME_EXEC)) {
		if (argv.count > 0 && argv.items[0][0])
			exec_start(id, &argv, &environment, cwd, input, close_input);
		else
			port_reject(FRAME_EXEC, "a command needs a program", NULL, 0);
	}
	string_list_free(&argv);
	string_list_free(&environment);
	free(cwd);
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

static void quiesce(struct frame_reader *reader)
{
	uint32_t token = frame_get_u32(reader);

	if (!complete(reader, FRAME_QUIESCE))
		return;
	int error = cgroup_freeze_workload(FREEZE_LIMIT_NANOS);
	if (error) {
		port_reject(FRAME_QUIESCE, "the workload does not freeze", NULL, error);
		return;
	}
	keep_still(true);
	sync();
	custom_events_drain();
	console_drain();
	tell_token(FRAME_AGENT_QUIESCED, token);
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
	int error = thaw_workload();
	if (error)
		port_reject(FRAME_THAW, "the workload cannot be thawed", NULL, error);
	else
		tell_token(FRAME_AGENT_THAWED, token);
}

/* The acknowledgement leaves the machine before the workload may go on, and AgentThawed says that it did. */
static void acknowledge_identity(uint32_t token, bool and_thaw)
{
	tell_token(FRAME_IDENTITY_APPLIED, token);
	if (!and_thaw)
		return;
	int error = thaw_workload();
	if (error)
		port_reject(FRAME_APPLY_IDENTITY, "the workload cannot be thawed", NULL, error);
	else
		tell_token(FRAME_AGENT_THAWED, token);
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

	if (complete(reader, FRAME_APPLY_IDENTITY)) {
		int error;
		identity.hostname = hostname;
		identity.machine_id = machine_id;
		const char *problem = identity_apply(&identity, &error);
		if (problem)
			port_reject(FRAME_APPLY_IDENTITY, problem, NULL, error);
		else
			acknowledge_identity(token, and_thaw);
	}
	free(hostname);
	free(machine_id);
	string_list_free(&identity.environment);
}

static void power_off(struct frame_reader *reader)
{
	if (!complete(reader, FRAME_POWER_OFF))
		return;
	sync();
	console_drain();
	reboot(RB_POWER_OFF);
	port_reject(FRAME_POWER_OFF, "the machine does not power off", NULL, 0);
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
	case FRAME_QUIESCE:
		quiesce(&reader);
		break;
	case FRAME_THAW:
		thaw(&reader);
		break;
	case FRAME_APPLY_IDENTITY:
		apply_identity(&reader);
		break;
	case FRAME_POWER_OFF:
		power_off(&reader);
		break;
	default:
		port_reject(type, "no host frame has this type", NULL, 0);
	}
}
