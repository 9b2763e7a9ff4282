/*
 * The two control groups: `workload`, which can be frozen, and `exec` for commands that the host
 * runs, which therefore work while the workload is frozen.
 */
#ifndef STILLPOINT_CGROUP_H
#define STILLPOINT_CGROUP_H

#include <stdbool.h>

#include "loop.h"

/*
 * Creates the groups. The workload's may take seven eighths of the memory and of the processes that are free now,
 * and of the memory all but 16 MiB where that is more.
 * /sys/fs/cgroup shows the workload's group alone, read-only, so that no process can be moved or cloned out of its group;
 * with `privileged` all of it, to be written. The agent keeps what it needs open.
 * Returns 0 or an errno; then nothing can be frozen, and everything else works.
 */
int cgroup_init(bool privileged);

/* Directory descriptors to spawn into; -1 without control groups. */
int cgroup_workload(void);
int cgroup_exec(void);

/* True when a live process is in the workload's group. */
bool cgroup_workload_populated(void);

/* Signals every process of the workload's group. */
void cgroup_signal_workload(int signal);

/* Calls `changed` whenever the workload's group becomes empty, populated, frozen or thawed. */
int cgroup_watch_workload(void (*changed)(void));

/*
 * Freezes the workload and waits until every one of its processes has stopped, at most
 * `limit_nanos`. Returns 0 or an errno (ETIMEDOUT; the workload is thawed again).
 */
int cgroup_freeze_workload(uint64_t limit_nanos);

/* Thaws the workload. Returns 0 or an errno. */
int cgroup_thaw_workload(void);

#endif
