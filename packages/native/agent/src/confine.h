/* What keeps the workload, though it runs as uid 0, away from the agent and its control port. */
#ifndef STILLPOINT_CONFINE_H
#define STILLPOINT_CONFINE_H

/*
 * Drops, for this process and all that it will execute, the capabilities that lead to the control
 * port: opening a port in exclusive use or mounting (SYS_ADMIN), tracing PID 1 (SYS_PTRACE), raw
 * hardware (SYS_RAWIO), kernel code (SYS_MODULE, BPF, PERFMON), device nodes (MKNOD), hanging up
 * terminals (SYS_TTY_CONFIG), and stopping the machine (SYS_BOOT). Returns 0 or an errno.
 */
int confine_capabilities(void);

#endif
