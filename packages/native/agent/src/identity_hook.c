#include "identity_hook.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "environment.h"
#include "loop.h"
#include "spawn.h"
#include "text.h"

static char *const nothing[] = { NULL };
static char *const *program = nothing;
static const char *folder = "/";
static bool confined;
static struct alarm_clock limit;
static pid_t running = -1;
static void (*tell_end)(const struct hook_end *end);

static void end(enum reject_reason reason, const char *message, int error)
{
	running = -1;
	alarm_clear(&limit);
	tell_end(&(struct hook_end){ message != NULL, reason, message, error });
}

static void limit_rang(struct alarm_clock *alarm)
{
	(void)alarm;
	if (running < 0)
		return;
	kill(-running, SIGKILL);
	end(REASON_HOOK_TIMED_OUT, "the identity hook did not end in time and was killed", 0);
}

int identity_hook_init(bool privileged)
{
	confined = !privileged;
	return alarm_init(&limit, limit_rang);
}

void identity_hook_configure(char *const *argv, const char *cwd)
{
	program = argv;
	folder = cwd;
}

static pid_t launch(char *const *environment, struct spawn_failure *failure)
{
	char **merged = environment_merge(NULL, environment);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int console = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	pid_t pid = -1;

	*failure = (struct spawn_failure){ "streams", null < 0 || console < 0 ? errno : ENOMEM, NULL };
	if (null >= 0 && console >= 0 && merged) {
		const struct spawn_request request = {
			.argv = program,
			.envp = merged,
			.cwd = folder,
			.streams = { null, console, console },
			.cgroup = cgroup_exec(),
			.confined = confined,
		};
		pid = spawn(&request, NULL, failure);
	}
	if (null >= 0)
		close(null);
	if (console >= 0)
		close(console);
	free(merged);
	return pid;
}

void identity_hook_run(char *const *environment, uint64_t limit_nanos, void (*ended)(const struct hook_end *end))
{
	struct spawn_failure failure;

	tell_end = ended;
	if (!*program) {
		ended(&(struct hook_end){ .failed = false });
		return;
	}
	alarm_set(&limit, limit_nanos, 0);
	running = launch(environment, &failure);
	if (running < 0)
		end(REASON_HOOK_FAILED, "the identity hook cannot be started", failure.error);
}

bool identity_hook_reaped(pid_t pid, int status)
{
	struct text message;

	if (running < 0 || pid != running)
		return false;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		end(REASON_UNSPECIFIED, NULL, 0);
		return true;
	}
	text_start(&message, WIFEXITED(status) ? "the identity hook ended with code " : "the identity hook was ended by signal ");
	text_add_number(&message, (uint64_t)(WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status)));
	end(REASON_HOOK_FAILED, message.bytes, 0);
	return true;
}
