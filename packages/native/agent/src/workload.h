/*
 * The workload: the program that the machine exists for.
 *
 *   idle ──workload_prepare──> holding ──hold over or Go──> running ──main process ends──┐
 *     │                                      │                                           │
 *     └ no argv: stays idle                  └ cannot be executed: failed                 v
 *
 *   main process ends with ...                                  told as
 *   0, nothing left in its group                                WorkloadExited
 *   0, others left in its group, none ever listened             WorkloadParked; WorkloadExited when they end
 *   0, others left in its group, one has listened               WorkloadExited when they end
 *   anything else                                               WorkloadExited
 */
#ifndef STILLPOINT_WORKLOAD_H
#define STILLPOINT_WORKLOAD_H

#include <stdbool.h>
#include <sys/types.h>

#include "config.h"

/* Announces the workload and starts its hold. Without argv nothing happens. Returns 0 or an errno. */
int workload_prepare(const struct config *config);

/* The host says go. Returns false when nothing is being held. */
bool workload_go(void);

/* While on, a hold does not end: nothing could be started into a frozen group. */
void workload_keep_still(bool on);

/* While on, a hold does not end either: the new identity is not complete. */
void workload_bar(bool on);

/*
 * Signals the workload's main process; once that has ended, every process that it left. One that is frozen has the signal
 * when it goes on. Nothing happens before the workload runs.
 */
void workload_signal(int signal);

/* A child has ended. Returns true when it was the workload's main process. */
bool workload_reaped(pid_t pid, int status);

#endif
