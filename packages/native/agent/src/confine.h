/* Isolates the workload from the agent and its control port, although it runs as uid 0. */
#ifndef STILLPOINT_CONFINE_H
#define STILLPOINT_CONFINE_H

/*
 * Drops, for this process and all that it will execute, the capabilities that lead to the control port or past the
 * agent: opening a port in exclusive use or mounting (SYS_ADMIN), tracing PID 1 (SYS_PTRACE), raw hardware (SYS_RAWIO),
 * kernel code (SYS_MODULE, BPF, PERFMON), device nodes (MKNOD), hanging up terminals (SYS_TTY_CONFIG), stopping the
 * machine (SYS_BOOT, AUDIT_CONTROL), being scheduled before the agent (SYS_NICE) or spared when memory runs out
 * (SYS_RESOURCE), files that the agent cannot replace (LINUX_IMMUTABLE), and others that serve none but these ends.
 *
 * Limits replace what is lost with SYS_NICE and SYS_RESOURCE: any niceness, real-time priorities up to 98 (the agent
 * has 99), as many open files as the kernel allows. Returns 0 or an errno.
 */
int confine_capabilities(void);

/*
 * Takes those capabilities out of the bounding set of this process, and so of all its children: each of the two dozen calls
 * that this takes costs as much as opening a file. Its own sets stay. Returns 0 or an errno.
 */
int confine_children(void);

#endif
