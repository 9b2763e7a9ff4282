/* What the host may ask for: each host frame read, checked, and handed to the part that serves it. */
#ifndef STILLPOINT_HOST_COMMANDS_H
#define STILLPOINT_HOST_COMMANDS_H

#include <stdint.h>

#include "config.h"
#include "frame.h"

/* What frames leave open is as `config` says, which must outlive them; a workload that is started later replaces its own part of it. */
void host_commands_configure(struct config *config);

/* Serves one host frame. Whatever is wrong with it is answered by Rejected and changes nothing. */
void host_command(uint8_t type, struct slice payload);

#endif
