#include "root_failure.h"

#include <string.h>

bool root_fail(struct root_failure *failure, const char *step, const char *what, const char *detail, int error)
{
	failure->step = step;
	failure->error = error;
	text_start(&failure->message, what);
	if (detail) {
		text_add(&failure->message, ": ");
		text_add(&failure->message, detail);
	}
	if (error) {
		text_add(&failure->message, ": ");
		text_add(&failure->message, strerror(error));
	}
	return false;
}
