/*
 * The workload: the program that the machine exists for.
 *
 *   idle ──workload_prepare──> holding ──hold over or Go──> running ──main process ends──┐
 *     │                                      │                                           │
 *     └ no argv, or no root: stays idle      └ cannot be executed: failed                 v
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
#include <stdint.h>
#include <sys/types.h>

#include "config.h"

/*
 * Enters the root that `config` names, announces the workload and starts its hold. Without argv nothing is announced. A failure
 * is reported as WorkloadFailed, leaves everything unchanged, and returns false.
 */
bool workload_prepare(const struct config *config);

/* Whether there is and was no workload, so that one may be prepared. */
bool workload_absent(void);

/*
 * Asks the workload to end, by that signal and after `limit_nanos` by killing the rest, and then calls `ended`; at once if none
 * runs.
 */
void workload_stop(int signal, uint64_t limit_nanos, void (*ended)(void));

/* The host says go. Returns false when nothing is being held. */
bool workload_go(void);

/* While on, a hold does not end: nothing could be started into a frozen group. */
void workload_keep_still(bool on);

/* While on, a hold does not end either: the new identity is not complete. */
void workload_bar(bool on);

/*
 * Signals the workload's main process; once that has ended, every process that it left. A frozen one gets the signal when it
 * continues. Does nothing before the workload runs.
 */
void workload_signal(int signal);

/* A child has ended. Returns true when it was the workload's main process. */
bool workload_reaped(pid_t pid, int status);

#endif
