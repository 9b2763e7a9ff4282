#ifndef STILLPOINT_NETWORK_H
#define STILLPOINT_NETWORK_H

/*
 * Brings up the machine's network interface, if it has one: address, mask, the way out. Nobody else is on that network, so
 * nothing is asked for. Returns 0, also without an interface, or an error number.
 */
int network_up(void);

#endif
