#include "modules.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/module.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "console.h"

#ifndef MODULE_INIT_COMPRESSED_FILE
#define MODULE_INIT_COMPRESSED_FILE 4
#endif

#define KIT_MODULES "/stillpoint/modules/"

static int load(const char *path)
{
	const char *suffix = strrchr(path, '.');
	int flags = suffix && strcmp(suffix, ".ko") != 0 ? MODULE_INIT_COMPRESSED_FILE : 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	int error = syscall(SYS_finit_module, fd, "", flags) < 0 && errno != EEXIST ? errno : 0;
	close(fd);
	return error;
}

void modules_load(char *const *paths)
{
	for (; *paths; paths++) {
		int error = load(*paths);
		if (error)
			console_say("a module cannot be loaded", *paths, error);
		/* The kit's modules are in the kernel now. */
		if (strncmp(*paths, KIT_MODULES, strlen(KIT_MODULES)) == 0)
			unlink(*paths);
	}
}
