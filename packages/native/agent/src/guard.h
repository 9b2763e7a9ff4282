/* Closing what the kernel leaves open to uid 0, capabilities or not. */
#ifndef STILLPOINT_GUARD_H
#define STILLPOINT_GUARD_H

/*
 * Closes the interfaces that ask for uid 0 alone, and so would be the workload's: stopping or tuning the machine
 * (/proc/sysrq-trigger, /proc/sys and others become read-only, in user namespaces too), having the kernel start a
 * program outside of every control group (usermode helpers), and the device nodes that end a machine or make the
 * agent wait for a page (/dev/userfaultfd, /dev/fuse). What cannot be closed is said on the console. Also takes the common
 * limit of open files away, which one program could reach for all.
 * After /proc and /dev are mounted.
 */
void guard_kernel(void);

#endif
