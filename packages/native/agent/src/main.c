/*
 * The guest agent: process 1 of a guest. It never ends; it reports errors and continues.
 *
 *   mounts -> modules, hostname, loopback, network -> control port -> AgentReady -> heartbeats -> workload -> serve
 *
 * If not started by the kernel, it is the program stillpoint-emit, or the one that serves the host's file operations.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "channel.h"
#include "config.h"
#include "confine.h"
#include "console.h"
#include "custom_events.h"
#include "exec.h"
#include "file_service.h"
#include "frame.h"
#include "guard.h"
#include "heartbeat.h"
#include "host_commands.h"
#include "identity_hook.h"
#include "identity_record.h"
#include "loop.h"
#include "loopback.h"
#include "modules.h"
#include "mounts.h"
#include "network.h"
#include "open_listeners.h"
#include "port.h"
#include "scheduling.h"
#include "text.h"
#include "workload.h"

#define CONFIG_PATH "/stillpoint/agent.conf"

/* Arguments and environment of one program; the kernel takes no more in one string either. */
enum { CONFIG_MAX = 131072 };

static struct config config;
static struct watch children = { .fd = -1 };

static void say_if(const char *what, int error)
{
	if (error)
		console_say(what, NULL, error);
}

static void read_config(void)
{
	static char text[CONFIG_MAX + 1];
	const char *reason = NULL;
	size_t filled = 0;
	int fd = open(CONFIG_PATH, O_RDONLY | O_CLOEXEC);

	config_init(&config);
	if (fd < 0) {
		console_say("no configuration, serving the host without a workload", CONFIG_PATH, errno);
		return;
	}
	for (ssize_t got; filled < CONFIG_MAX && (got = read(fd, text + filled, CONFIG_MAX - filled)) > 0;)
		filled += (size_t)got;
	close(fd);
	if (filled == CONFIG_MAX)
		console_say("the configuration is cut off at 131072 bytes", NULL, 0);
	size_t line = config_parse(&config, text, &reason);
	if (line > 0) {
		struct text message;
		text_start(&message, "configuration line ");
		text_add_number(&message, line);
		console_say(message.bytes, reason, 0);
	}
}

static void reap(void)
{
	int status;

	/* A child's last events were sent before it ended, and its listeners were closed: they are reported before its end. */
	custom_events_drain();
	open_listeners_drain();
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		if (!workload_reaped(pid, status) && !identity_hook_reaped(pid, status))
			exec_reaped(pid, status);
	}
}

static void child_ended(struct watch *watch, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	/* One read may stand for many children. */
	if (read(watch->fd, &info, sizeof(info)) > 0)
		reap();
}

static int watch_children(void)
{
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	children = (struct watch){ .fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK), .ready = child_ended };
	return children.fd < 0 ? errno : loop_add(&children, EPOLLIN);
}

/* No signal reaches the agent but through its loop, and it comes before the workload whenever it has work. */
static void prepare_process(void)
{
	const struct sched_param priority = { .sched_priority = AGENT_PRIORITY };
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &priority) < 0)
		console_say("the agent runs at the workload's priority", NULL, errno);
}

static void tell_ready(void)
{
	struct frame_writer *writer = port_begin(FRAME_AGENT_READY);
	struct utsname system;

	if (uname(&system) < 0)
		strcpy(system.release, "unknown");
	frame_put_u32(writer, CONTRACT_VERSION);
	frame_put_str(writer, system.release);
	frame_put_u64(writer, CONTRACT_HASH);
	port_send_now(writer);
}

int main(int argc, char **argv)
{
	if (getpid() != 1)
		return argc > 0 && strcmp(argv[0], FILE_SERVICE_NAME) == 0 ? file_service(argc, argv) : custom_events_emit(argc, argv);

	prepare_process();
	read_config();
	mounts_prepare(config.privileged);
	console_open();
	modules_load(config.modules.items);
	channel_hold_driver();
	network_prepare();
	/* After the modules, which may bring device nodes and need helpers, and the settings of the network. */
	if (!config.privileged)
		guard_kernel();
	host_commands_configure(&config);
	say_if("the loopback interface stays down", loopback_up());
	say_if("the network interface stays down", network_up());
	say_if("no control groups, nothing can be frozen", cgroup_init(config.privileged));
	say_if("no readiness loop", loop_init());
	int error = port_open(config.port);
	if (error)
		console_say("no control port, the host hears nothing", config.port, error);
	tell_ready();

	say_if("children cannot be waited for", watch_children());
	say_if("no heartbeats", heartbeat_start(config.heartbeat_millis, config.console_markers));
	/* Once for all that are executed from here on. What fails here fails again in each, which is then not executed. */
	if (!config.privileged)
		confine_children();
	say_if("commands cannot be run", exec_init(config.privileged));
	say_if("no custom events", custom_events_serve());
	say_if("the identity cannot be read by programs", identity_record_write());
	say_if("the identity hook cannot be waited for", identity_hook_init(config.privileged));
	say_if("the host cannot be heard", port_serve(host_command));
	workload_prepare(&config);
	for (;;)
		loop_turn();
}
