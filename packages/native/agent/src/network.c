#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "contract.h"

#define INTERFACE "eth0"
/* Without a router there is nothing to be told over version 6, and asking would take the guest's time. */
#define WITHOUT_IPV6 "/proc/sys/net/ipv6/conf/" INTERFACE "/disable_ipv6"

static void set_address(struct sockaddr *place, uint32_t address)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };

	memcpy(place, &in, sizeof(in));
}

static void disable_ipv6(void)
{
	int fd = open(WITHOUT_IPV6, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "1", 1) < 0)
		errno = 0;
	close(fd);
}

static int configure(int fd)
{
	struct ifreq request = { .ifr_name = INTERFACE };
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY, .rt_dev = INTERFACE };

	if (ioctl(fd, SIOCGIFINDEX, &request) < 0)
		return errno == ENODEV ? 0 : errno;
	disable_ipv6();
	set_address(&request.ifr_addr, LIMIT_GUEST_ADDRESS);
	if (ioctl(fd, SIOCSIFADDR, &request) < 0)
		return errno;
	set_address(&request.ifr_netmask, ~((UINT32_C(1) << (32 - LIMIT_NETWORK_BITS)) - 1));
	if (ioctl(fd, SIOCSIFNETMASK, &request) < 0)
		return errno;
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return errno;
	set_address(&route.rt_dst, INADDR_ANY);
	set_address(&route.rt_genmask, INADDR_ANY);
	set_address(&route.rt_gateway, LIMIT_GATEWAY_ADDRESS);
	return ioctl(fd, SIOCADDRT, &route) < 0 ? errno : 0;
}

int network_up(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	int error = configure(fd);
	close(fd);
	return error;
}
