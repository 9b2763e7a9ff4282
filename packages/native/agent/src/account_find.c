#include "account_find.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "in_root.h"

/* The file's text, to be freed; null with `problem` set on an error. */
static char *text_of(int root, const char *path, struct text *problem)
{
	uint64_t size = 0;
	char *text = in_root_read(root, path, &size);
	int error = errno;

	if (text)
		return text;
	text_start(problem, path);
	if (error == EFBIG) {
		text_add(problem, ": expected at most ");
		text_add_number(problem, IN_ROOT_FILE_MAX);
		text_add(problem, " bytes, found ");
		text_add_number(problem, size);
	} else if (error == EINVAL) {
		text_add(problem, ": expected a file, found something else");
	} else {
		text_add(problem, ": cannot be read: ");
		text_add(problem, strerror(error));
	}
	errno = error;
	return NULL;
}

int account_find(int root, const char *user, const char *const *more, struct account *account, struct text *problem)
{
	char *passwd = text_of(root, "/etc/passwd", problem);
	char *group = passwd ? text_of(root, "/etc/group", problem) : NULL;
	const char *wrong, *found;
	int error = group ? 0 : errno;

	if (group && (wrong = account_resolve(account, user, more, passwd, group, &found))) {
		text_start(problem, wrong);
		text_add(problem, ": ");
		text_add(problem, found);
		error = ENOENT;
	}
	free(passwd);
	free(group);
	return error;
}
