/*
 * The user and groups of a program, by name or number, from /etc/passwd and /etc/group of a root.
 *
 *   USER[:GROUP]   USER      a name of passwd, else a number, which need not stand there
 *                  GROUP     a name of group, else a number; without it the user's own, or 0 for a number that passwd has not
 *
 * Without GROUP the further groups are those that name the user as a member. Nothing here does input or output.
 */
#ifndef STILLPOINT_ACCOUNT_H
#define STILLPOINT_ACCOUNT_H

#include <stdint.h>

enum { ACCOUNT_GROUPS_MAX = 256 };

struct account {
	uint32_t uid;
	uint32_t gid;
	uint32_t groups[ACCOUNT_GROUPS_MAX];
	uint32_t group_count;
	char home[256]; /* "/" if passwd does not say */
};

/*
 * `passwd` and `group` are the files' texts, "" for a missing one. `more` are further groups by name or number, ended by
 * null. Returns null, or the problem, with `*found` the offending name.
 */
const char *account_resolve(struct account *account, const char *user, const char *const *more, const char *passwd,
			    const char *group, const char **found);

#endif
