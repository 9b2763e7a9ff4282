/* Closes interfaces that the kernel leaves open to uid 0, with or without capabilities. */
#ifndef STILLPOINT_GUARD_H
#define STILLPOINT_GUARD_H

/*
 * Closes the interfaces that require only uid 0, and would be open to the workload: stopping or tuning the machine
 * (/proc/sysrq-trigger, /proc/sys and others become read-only, in user namespaces too), making the kernel start a program
 * outside of every control group (usermode helpers), and the device nodes that end a machine or make the agent wait for a
 * page (/dev/userfaultfd, /dev/fuse). Failures are reported on the console. Also lifts the common limit of open files,
 * which one program could exhaust for all. Call it after /proc and /dev are mounted.
 */
void guard_kernel(void);

#endif
