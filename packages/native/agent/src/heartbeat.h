/* The sign of life: a count, one more at every beat, told to the host. */
#ifndef STILLPOINT_HEARTBEAT_H
#define STILLPOINT_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

/* Starts beating every `millis` (0: never). With `marker`, each beat is on the console too. Returns 0 or an errno. */
int heartbeat_start(uint64_t millis, bool marker);

/* Stops the beat, or takes it up again with the next number a full period later. */
void heartbeat_pause(bool paused);

#endif
