#include "account.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Numbers that setresuid takes: its own "leave it" is none. */
static const uint64_t NUMBER_MAX = UINT32_MAX - 1;

/* A part of a text. */
struct part {
	const char *at;
	size_t length;
};

static bool is(struct part part, struct part other)
{
	return part.length == other.length && memcmp(part.at, other.at, part.length) == 0;
}

static bool number_of(struct part part, uint32_t *into)
{
	uint64_t number = 0;

	for (size_t i = 0; i < part.length; i++) {
		if (part.at[i] < '0' || part.at[i] > '9')
			return false;
		number = number * 10 + (uint64_t)(part.at[i] - '0');
		if (number > NUMBER_MAX)
			return false;
	}
	*into = (uint32_t)number;
	return part.length > 0;
}

/* Takes the next line off `*text` and its fields, as many as there are up to `count`. Returns false at the end. */
static bool next_line(const char **text, struct part *fields, size_t count)
{
	if (!**text)
		return false;
	const char *end = *text + strcspn(*text, "\n");
	const char *at = *text;

	for (size_t i = 0; i < count; i++) {
		size_t length = strcspn(at, ":\n");
		fields[i] = (struct part){ at, length };
		at += length;
		if (*at == ':')
			at++;
	}
	*text = *end ? end + 1 : end;
	return true;
}

/* The user of that name, else of that number. Their group and home, if passwd has them. */
static bool find_user(struct account *account, struct part user, const char *passwd, struct part *name)
{
	struct part fields[6];
	uint32_t wanted, uid, gid;
	bool is_number = number_of(user, &wanted), found = false;

	account->uid = is_number ? wanted : 0;
	while (next_line(&passwd, fields, 6)) {
		bool by_name = is(fields[0], user);
		if (!number_of(fields[2], &uid) || !number_of(fields[3], &gid) || (!by_name && (found || !is_number || uid != wanted)))
			continue;
		found = true;
		account->uid = uid;
		account->gid = gid;
		*name = fields[0];
		if (fields[5].length > 0 && fields[5].length < sizeof(account->home)) {
			memcpy(account->home, fields[5].at, fields[5].length);
			account->home[fields[5].length] = 0;
		}
		if (by_name)
			break;
	}
	return found || is_number;
}

static bool find_group(struct part wanted, const char *group, uint32_t *gid)
{
	struct part fields[3];

	while (next_line(&group, fields, 3)) {
		if (is(fields[0], wanted) && number_of(fields[2], gid))
			return true;
	}
	return number_of(wanted, gid);
}

static void add_group(struct account *account, uint32_t gid)
{
	for (uint32_t i = 0; i < account->group_count; i++) {
		if (account->groups[i] == gid)
			return;
	}
	if (account->group_count < ACCOUNT_GROUPS_MAX)
		account->groups[account->group_count++] = gid;
}

/* The groups that name the user as a member. */
static void add_memberships(struct account *account, struct part name, const char *group)
{
	struct part fields[4];
	uint32_t gid;

	while (next_line(&group, fields, 4)) {
		if (!number_of(fields[2], &gid))
			continue;
		for (size_t at = 0; at < fields[3].length;) {
			struct part rest = { fields[3].at + at, fields[3].length - at };
			const char *comma = memchr(rest.at, ',', rest.length);
			struct part member = { rest.at, comma ? (size_t)(comma - rest.at) : rest.length };
			if (name.length > 0 && is(member, name))
				add_group(account, gid);
			at += member.length + 1;
		}
	}
}

const char *account_resolve(struct account *account, const char *user, const char *const *more, const char *passwd,
			    const char *group, const char **found)
{
	size_t length = strcspn(user, ":");
	struct part wanted = { user, length }, name = { "", 0 };

	*account = (struct account){ .home = "/" };
	*found = user;
	if (length == 0)
		wanted = (struct part){ "0", 1 };
	if (!find_user(account, wanted, passwd, &name))
		return "there is no such user";
	if (user[length] == ':' && user[length + 1]) {
		*found = user + length + 1;
		if (!find_group((struct part){ *found, strlen(*found) }, group, &account->gid))
			return "there is no such group";
	} else {
		add_memberships(account, name, group);
	}
	for (; more && *more; more++) {
		uint32_t gid;
		*found = *more;
		if (!find_group((struct part){ *more, strlen(*more) }, group, &gid))
			return "there is no such group";
		add_group(account, gid);
	}
	return NULL;
}
