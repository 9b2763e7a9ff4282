/* The host's requests: each host frame is read, checked, and handed to the part that serves it. */
#ifndef STILLPOINT_HOST_COMMANDS_H
#define STILLPOINT_HOST_COMMANDS_H

#include <stdint.h>

#include "config.h"
#include "frame.h"

/* `config` has the defaults for frames, and must outlive them; a workload that starts later replaces its own part of it. */
void host_commands_configure(struct config *config);

/* Serves one host frame. Any problem with it is answered by Rejected and changes nothing. */
void host_command(uint8_t type, struct slice payload);

#endif
