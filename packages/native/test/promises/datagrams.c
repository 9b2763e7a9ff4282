/* Datagrams over version 4: `echo PORT` sends back what comes, `ask ADDRESS PORT TEXT` says what is answered. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static char bytes[65536];

static int echo(int fd, const char *port)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };

	if (bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0)
		return 1;
	for (;;) {
		struct sockaddr_in from;
		socklen_t size = sizeof(from);
		ssize_t count = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &size);

		if (count >= 0)
			sendto(fd, bytes, count, 0, (struct sockaddr *)&from, size);
	}
}

static int ask(int fd, const char *address, const char *port, const char *text)
{
	struct sockaddr_in there = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
	struct timeval patience = { .tv_sec = 20 };

	inet_pton(AF_INET, address, &there.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&there, sizeof(there)) < 0 || send(fd, text, strlen(text), 0) < 0)
		return 1;
	ssize_t count = recv(fd, bytes, sizeof(bytes), 0);

	if (count < 0) {
		perror("no answer");
		return 2;
	}
	return write(1, bytes, count) == count ? 0 : 3;
}

int main(int count, char **words)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (count == 3 && !strcmp(words[1], "echo"))
		return echo(fd, words[2]);
	if (count == 5 && !strcmp(words[1], "ask"))
		return ask(fd, words[2], words[3], words[4]);
	return 64;
}
