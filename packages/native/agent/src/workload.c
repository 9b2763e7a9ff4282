#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "account.h"
#include "cgroup.h"
#include "console.h"
#include "environment.h"
#include "frame.h"
#include "listeners.h"
#include "loop.h"
#include "port.h"
#include "root.h"
#include "spawn.h"

/* When the hold is over, an incomplete frame is awaited in steps of this length. */
static const uint64_t FRAME_WAIT_NANOS = 1000000;

static enum { IDLE, HOLDING, RUNNING, LINGERING, ENDED } state;
static const struct config *config;
static struct alarm_clock hold_clock;
static bool hold_over;
static bool still;  /* the guest is frozen: a hold that is over lasts on */
static bool barred; /* the same while a new identity is not complete */
static pid_t main_process = -1;
static int main_status;
static struct account account;
static bool has_account; /* the workload runs as somebody that its root or its configuration names */
static struct alarm_clock stop_clock;
static void (*stopped)(void);

static void report_failure(const char *step, int error, const char *message)
{
	struct frame_writer *writer = port_begin(FRAME_WORKLOAD_FAILED);

	frame_put_str(writer, step);
	frame_put_i32(writer, error);
	frame_put_str(writer, message);
	port_send_now(writer);
	console_say("the workload cannot be started", message, 0);
}

/* A console that is opened by its path, as /dev/stdout leads to it, is the user's own. */
static void give_console(int console)
{
	if (account.uid != 0 && fchown(console, account.uid, (gid_t)-1) < 0)
		console_say("the console is not the workload's", NULL, errno);
}

static void start(void)
{
	struct spawn_failure failure = { "environment", ENOMEM, NULL };
	char **environment = environment_merge(has_account ? account.home : NULL, NULL);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int console = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	int filter = -1;

	state = ENDED;
	if (null < 0 || console < 0) {
		failure = (struct spawn_failure){ "streams", errno, NULL };
	} else if (environment) {
		struct spawn_request request = {
			.argv = config->argv.items,
			.envp = environment,
			.cwd = config->cwd,
			.account = has_account ? &account : NULL,
			.streams = { null, console, console },
			.cgroup = cgroup_workload(),
			.confined = !config->privileged,
			.watch_listeners = config->listeners == LISTENERS_SECCOMP,
		};
		give_console(console);
		main_process = spawn(&request, &filter, &failure);
	}
	if (null >= 0)
		close(null);
	if (console >= 0)
		close(console);
	free(environment);
	if (main_process < 0) {
		report_failure(failure.step, failure.error, strerror(failure.error));
		return;
	}
	state = RUNNING;
	int error = listeners_start(config->listeners, filter);
	if (error)
		console_say("listeners cannot be noticed", NULL, error);
}

/*
 * Everything that the host has sent is served before the workload's first instruction: it may be a new
 * identity.
 */
static void end_hold(void)
{
	bool all_served = port_drain_input();

	hold_over = true;
	if (state != HOLDING || still || barred)
		return;
	if (all_served)
		start();
	else
		alarm_set(&hold_clock, FRAME_WAIT_NANOS, 0);
}

static void hold_rang(struct alarm_clock *alarm)
{
	(void)alarm;
	end_hold();
}

static void tell_exited(void)
{
	struct frame_writer *writer = port_begin(FRAME_WORKLOAD_EXITED);
	bool signalled = WIFSIGNALED(main_status);

	state = ENDED;
	frame_put_u8(writer, signalled ? 1 : 0);
	frame_put_i32(writer, signalled ? WTERMSIG(main_status) : WEXITSTATUS(main_status));
	port_send_now(writer);
	if (stopped)
		stopped();
}

static void group_changed(void)
{
	if (state == LINGERING && !cgroup_workload_populated())
		tell_exited();
}

bool workload_absent(void)
{
	return state == IDLE && !root_entered();
}

static bool find_root(void)
{
	struct root_failure failure;

	has_account = config->root || config->user || config->groups.count > 0;
	if (!has_account || root_enter(config, &account, &failure))
		return true;
	report_failure(failure.step, failure.error, failure.message.bytes);
	return false;
}

bool workload_prepare(const struct config *from)
{
	config = from;
	if (!find_root())
		return false;
	if (config->argv.count == 0)
		return true;
	int error = alarm_init(&hold_clock, hold_rang);
	if (error)
		console_say("a hold cannot end by itself", NULL, error);
	/* Without control groups a parked workload is reported as exited. */
	error = cgroup_watch_workload(group_changed);
	if (error)
		console_say("the workload's control group cannot be watched", NULL, error);

	state = HOLDING;
	if (config->console_markers)
		console_marker("workload-pre-exec", -1);
	struct frame_writer *writer = port_begin(FRAME_WORKLOAD_PRE_EXEC);
	frame_put_list(writer, config->argv.items);
	if (config->hold == HOLD_TIMED) {
		frame_put_present(writer);
		frame_put_u64(writer, config->hold_nanos);
	} else {
		frame_put_absent(writer);
	}
	port_send_now(writer);
	if (config->hold == HOLD_TIMED)
		alarm_set(&hold_clock, config->hold_nanos, 0);
	return true;
}

bool workload_go(void)
{
	if (state != HOLDING || hold_over)
		return false;
	/* Not from inside the frame's own dispatch: frames behind it come first. */
	hold_over = true;
	alarm_set(&hold_clock, 1, 0);
	return true;
}

static void resume_hold(void)
{
	if (!still && !barred && state == HOLDING && hold_over)
		alarm_set(&hold_clock, 1, 0);
}

void workload_keep_still(bool on)
{
	still = on;
	resume_hold();
}

void workload_bar(bool on)
{
	barred = on;
	resume_hold();
}

void workload_signal(int signal)
{
	if (state == RUNNING)
		kill(main_process, signal);
	else if (state == LINGERING)
		cgroup_signal_workload(signal);
}

static void stop_rang(struct alarm_clock *alarm)
{
	(void)alarm;
	cgroup_signal_workload(SIGKILL);
	/* A process that does not end now is stuck in the kernel, and is not awaited. */
	stopped();
}

void workload_stop(int signal, uint64_t limit_nanos, void (*ended)(void))
{
	if ((state != RUNNING && state != LINGERING) || signal == 0 || alarm_init(&stop_clock, stop_rang)) {
		ended();
		return;
	}
	stopped = ended;
	alarm_set(&stop_clock, limit_nanos, 0);
	workload_signal(signal);
}

bool workload_reaped(pid_t pid, int status)
{
	if (state != RUNNING || pid != main_process)
		return false;
	main_process = -1;
	main_status = status;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || !cgroup_workload_populated()) {
		tell_exited();
		return true;
	}
	state = LINGERING;
	if (!listeners_seen())
		port_send_empty(FRAME_WORKLOAD_PARKED);
	/* The last one may have ended in between. */
	group_changed();
	return true;
}
