/* The agent's place among what runs. */
#ifndef STILLPOINT_SCHEDULING_H
#define STILLPOINT_SCHEDULING_H

/* The highest real-time priority: a workload may have any below it, and never keeps the agent waiting. */
enum { AGENT_PRIORITY = 99 };

#endif
