/* The loopback interface. */
#ifndef STILLPOINT_LOOPBACK_H
#define STILLPOINT_LOOPBACK_H

/* Brings lo up; the kernel then gives it 127.0.0.1 and ::1. Returns 0 or an errno. */
int loopback_up(void);

#endif
