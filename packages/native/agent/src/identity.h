/* A new identity for a guest that was restored: randomness, time, names, environment. */
#ifndef STILLPOINT_IDENTITY_H
#define STILLPOINT_IDENTITY_H

#include <stdint.h>

#include "frame.h"

struct identity {
	struct slice entropy;	 /* at least 32 bytes */
	uint64_t realtime_nanos; /* since 1970; 0 leaves the clock */
	const char *hostname;	 /* "" leaves it */
	const char *machine_id;	 /* 32 lower-case hexadecimal digits; "" leaves it */
	struct string_list environment;
	uint64_t hook_timeout_nanos; /* for the configured hook; 0: as configured */
	int32_t signal;		     /* for the workload, once it goes on; 0: as configured */
};

/*
 * Checks everything, then applies everything. Returns null, or the problem, with `*error` an errno
 * or 0 and `*reason` set. After a failed check nothing has changed.
 */
const char *identity_apply(const struct identity *identity, enum reject_reason *reason, int *error);

/* Sets the wall clock to so many nanoseconds since 1970. Returns 0 or an errno. */
int identity_set_clock(uint64_t nanos);

#endif
