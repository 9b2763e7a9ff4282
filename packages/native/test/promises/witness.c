/*
 * A workload that bears witness of what happens to it, and the command that asks it.
 *
 *   witness serve   listens on TCP port 7000; one process counts without a pause and prints a line now and then, another one is
 *                   woken every millisecond by a timer and keeps what it saw
 *   witness tell    prints what the witness has seen, the clocks, and random bytes, one `name value` a line
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct seen {
	uint64_t count;            /* steps of the process that counts */
	uint64_t wakes;            /* times that the timer woke its process */
	uint64_t most_expirations; /* most expirations that one wake found waiting */
	uint64_t longest_nanos;    /* longest monotonic time between two wakes */
};

static const char path[] = "/run/witness";

static uint64_t nanos(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static volatile struct seen *map(int flags, int protection)
{
	int fd = open(path, flags, 0644);

	if (fd < 0 || ((flags & O_CREAT) && ftruncate(fd, sizeof(struct seen)) < 0))
		exit(2);
	void *at = mmap(NULL, sizeof(struct seen), protection, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		exit(3);
	return at;
}

static void count(volatile struct seen *seen)
{
	for (;;) {
		if (++seen->count % 200000 == 0 && write(1, "counting\n", 9) < 0)
			exit(4);
	}
}

static int serve(void)
{
	volatile struct seen *seen = map(O_RDWR | O_CREAT, PROT_READ | PROT_WRITE);
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(7000) };
	struct itimerspec every = { { 0, 1000000 }, { 0, 1000000 } };
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int timer = timerfd_create(CLOCK_MONOTONIC, 0);

	if (fork() == 0)
		count(seen);
	if (timer < 0 || timerfd_settime(timer, 0, &every, NULL) < 0)
		return 5;
	uint64_t last = nanos(CLOCK_MONOTONIC), expirations;
	while (read(timer, &expirations, sizeof(expirations)) == sizeof(expirations)) {
		uint64_t now = nanos(CLOCK_MONOTONIC);
		if (now - last > seen->longest_nanos)
			seen->longest_nanos = now - last;
		if (expirations > seen->most_expirations)
			seen->most_expirations = expirations;
		last = now;
		/* It is captured in the middle of its work. */
		if (++seen->wakes == 20 && (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 8) < 0))
			return 6;
	}
	return 7;
}

static void tell_file(const char *name, const char *file)
{
	char text[256] = "";
	int fd = open(file, O_RDONLY);
	ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	text[got > 0 ? got : 0] = 0;
	text[strcspn(text, "\n")] = 0;
	printf("%s %s\n", name, text);
}

static int tell(void)
{
	volatile struct seen *seen = map(O_RDONLY, PROT_READ);
	unsigned char random[32];
	char hostname[256] = "";

	printf("count %llu\nwakes %llu\nmostExpirations %llu\nlongestNanos %llu\n", (unsigned long long)seen->count,
	       (unsigned long long)seen->wakes, (unsigned long long)seen->most_expirations,
	       (unsigned long long)seen->longest_nanos);
	printf("realtime %llu\nmonotonic %llu\nboottime %llu\n", (unsigned long long)nanos(CLOCK_REALTIME),
	       (unsigned long long)nanos(CLOCK_MONOTONIC), (unsigned long long)nanos(CLOCK_BOOTTIME));
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return 2;
	printf("random ");
	for (size_t i = 0; i < sizeof(random); i++)
		printf("%02x", random[i]);
	gethostname(hostname, sizeof(hostname));
	printf("\nhostname %s\n", hostname);
	tell_file("uuid", "/proc/sys/kernel/random/uuid");
	tell_file("machineId", "/etc/machine-id");
	return 0;
}

int main(int argc, char **argv)
{
	return argc > 1 && strcmp(argv[1], "serve") == 0 ? serve() : tell();
}
