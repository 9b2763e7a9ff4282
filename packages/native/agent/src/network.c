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
#define SETTINGS "/proc/sys/net/ipv6/conf/" INTERFACE "/"

/* The kernel's requests of version 6, which no header of the C library has (linux/ipv6.h, linux/ipv6_route.h). */
struct address_request {
	struct in6_addr address;
	uint32_t prefix_bits;
	int interface;
};

static void set_address(struct sockaddr *place, uint32_t address)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };

	memcpy(place, &in, sizeof(in));
}

static int set(const char *setting, const char *value)
{
	int fd = open(setting, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	int error = write(fd, value, strlen(value)) < 0 ? errno : 0;
	close(fd);
	return error;
}

/* Whether the kernel has IPv6, and the interface's MTU is large enough for it. */
static int has_ipv6;

void network_prepare(void)
{
	has_ipv6 = set(SETTINGS "accept_dad", "0") == 0 && set(SETTINGS "accept_ra", "0") == 0;
}

static struct in6_addr address_of(uint16_t host)
{
	struct in6_addr address = { 0 };
	const uint16_t groups[] = { LIMIT_NETWORK_PREFIX_FIRST, LIMIT_NETWORK_PREFIX_SECOND, LIMIT_NETWORK_PREFIX_THIRD };

	for (int i = 0; i < 3; i++) {
		address.s6_addr[2 * i] = (uint8_t)(groups[i] >> 8);
		address.s6_addr[2 * i + 1] = (uint8_t)groups[i];
	}
	address.s6_addr[14] = (uint8_t)(host >> 8);
	address.s6_addr[15] = (uint8_t)host;
	return address;
}

static int configure_ipv6(int interface)
{
	struct address_request request = {
		.address = address_of(LIMIT_GUEST_HOST),
		.prefix_bits = LIMIT_NETWORK_PREFIX_BITS,
		.interface = interface,
	};
	struct in6_rtmsg route = {
		.rtmsg_gateway = address_of(LIMIT_GATEWAY_HOST),
		.rtmsg_metric = 1,
		.rtmsg_flags = RTF_UP | RTF_GATEWAY,
		.rtmsg_ifindex = interface,
	};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	int error = ioctl(fd, SIOCSIFADDR, &request) < 0 || ioctl(fd, SIOCADDRT, &route) < 0 ? errno : 0;
	close(fd);
	return error;
}

static int configure(int fd)
{
	struct ifreq request = { .ifr_name = INTERFACE };
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY, .rt_dev = INTERFACE };

	if (ioctl(fd, SIOCGIFINDEX, &request) < 0)
		return errno == ENODEV ? 0 : errno;
	int interface = request.ifr_ifindex;
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
	if (ioctl(fd, SIOCADDRT, &route) < 0)
		return errno;
	return has_ipv6 ? configure_ipv6(interface) : 0;
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
