/*
 * The channel: a port of the machine's virtio console, over which blocks of bytes go as fast as memory, where the serial line
 * has an interrupt for a few of them. It is opened once there is much to move, so that a boot does not wait for its driver.
 */
#ifndef STILLPOINT_CHANNEL_H
#define STILLPOINT_CHANNEL_H

/*
 * Opens the module that the kit put beside the agent, so that no other process can write to it from now on. Loads nothing.
 */
void channel_hold_driver(void);

/* Opens the port for this process alone and removes its node, or returns -1 where the machine or the kernel has none. */
int channel_open(void);

#endif
