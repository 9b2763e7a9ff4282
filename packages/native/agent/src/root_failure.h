/* Why a root could not be entered: the step, and the error. */
#ifndef STILLPOINT_ROOT_FAILURE_H
#define STILLPOINT_ROOT_FAILURE_H

#include <stdbool.h>

#include "text.h"

struct root_failure {
	const char *step; /* root, scratch, volume, user, files */
	int error;
	struct text message;
};

/* Says what failed: `what`, then `detail` (may be null) and the error's words. Returns false. */
bool root_fail(struct root_failure *failure, const char *step, const char *what, const char *detail, int error);

#endif
