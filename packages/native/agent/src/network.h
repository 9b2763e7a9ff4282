#ifndef STILLPOINT_NETWORK_H
#define STILLPOINT_NETWORK_H

/*
 * Has the kernel neither look whether an address of version 6 is free nor ask for a router: everybody's address is known, and
 * both take the guest's time. To be called while the kernel's settings can still be changed.
 */
void network_prepare(void);

/*
 * Brings up the machine's network interface, if it has one: addresses and routes. No other host is on that network, so
 * nothing is probed. Returns 0, also without an interface, or an error number.
 */
int network_up(void);

#endif
