#include "channel.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

#define DRIVER "/stillpoint/modules/virtio_mmio.ko"
#define PORTS "/sys/class/virtio-ports/"
#define NAME "stillpoint.agent"

/* The kernel creates the port in a thread of its own, once its driver is loaded. */
enum { TRIES = 50 };
static const struct timespec a_moment = { 0, 1000000 };

static int driver = -1;

void channel_hold_driver(void)
{
	driver = open(DRIVER, O_RDONLY | O_CLOEXEC);
	if (driver >= 0)
		unlink(DRIVER);
}

static bool is_ours(const char *port)
{
	char name[sizeof(NAME)];
	struct text path;

	text_start(&path, PORTS);
	text_add(&path, port);
	text_add(&path, "/name");
	int fd = open(path.bytes, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t got = read(fd, name, sizeof(name));
	close(fd);
	return got >= (ssize_t)strlen(NAME) && memcmp(name, NAME, strlen(NAME)) == 0;
}

/* Opens the port, if the kernel has it by now. Two processes cannot have it open. */
static int open_port(void)
{
	DIR *ports = opendir(PORTS);
	int fd = -1;

	if (!ports)
		return -1;
	for (struct dirent *entry; fd < 0 && (entry = readdir(ports));) {
		struct text node;
		if (entry->d_name[0] == '.' || !is_ours(entry->d_name))
			continue;
		text_start(&node, "/dev/");
		text_add(&node, entry->d_name);
		fd = open(node.bytes, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0)
			unlink(node.bytes);
	}
	closedir(ports);
	return fd;
}

int channel_open(void)
{
	int fd = open_port();
	bool is_loaded = fd < 0 && driver >= 0 && syscall(SYS_finit_module, driver, "", 0) == 0;

	for (int tries = 0; fd < 0 && is_loaded && tries < TRIES; tries++) {
		nanosleep(&a_moment, NULL);
		fd = open_port();
	}
	if (driver >= 0)
		close(driver);
	driver = -1;
	return fd;
}
