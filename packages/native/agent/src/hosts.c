#include "hosts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "in_root.h"
#include "text.h"

static const char PARTIAL[] = ".hosts.partial";

/* In one step: a look-up meanwhile sees the old file or the new one. */
static int replace(int root, const char *text)
{
	int etc = in_root_folder(root, "/etc");
	int error = etc < 0 ? errno : in_root_write(etc, PARTIAL, text);

	if (!error && renameat(etc, PARTIAL, etc, "hosts") < 0)
		error = errno;
	if (error && etc >= 0)
		unlinkat(etc, PARTIAL, 0);
	if (etc >= 0)
		close(etc);
	return error;
}

int hosts_rename(const char *from, const char *to)
{
	struct text line;
	char *renamed = NULL;
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *hosts = root < 0 ? NULL : in_root_read(root, "/etc/hosts", NULL);
	int error = 0;

	text_start(&line, HOSTS_OWN_ADDRESS "\t");
	text_add(&line, from);
	text_add(&line, "\n");
	char *found = hosts ? strstr(hosts, line.bytes) : NULL;
	if (found && (found == hosts || found[-1] == '\n')) {
		if (asprintf(&renamed, "%.*s" HOSTS_OWN_ADDRESS "\t%s\n%s", (int)(found - hosts), hosts, to, found + line.length) < 0)
			error = ENOMEM;
		else
			error = replace(root, renamed);
	}
	free(renamed);
	free(hosts);
	if (root >= 0)
		close(root);
	return error;
}
