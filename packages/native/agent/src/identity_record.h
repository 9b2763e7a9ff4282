/* The identity that the guest has, for its programs to read: /run/stillpoint/identity and a boot id of its own. */
#ifndef STILLPOINT_IDENTITY_RECORD_H
#define STILLPOINT_IDENTITY_RECORD_H

#include <stdint.h>

/*
 * Writes the present identity: lines NAME=value, the same names and values as in a hook's environment, without the secret.
 *
 *   STILLPOINT_GENERATION   new identities since the guest was booted, its ancestors' included; 0 at boot
 *   STILLPOINT_HOSTNAME
 *   STILLPOINT_MACHINE_ID   as in /etc/machine-id; empty without one
 *   STILLPOINT_BOOT_ID      as in /proc/sys/kernel/random/boot_id
 *
 * The file is replaced whole. Returns 0 or an errno.
 */
int identity_record_write(void);

/*
 * Counts one identity more, draws a boot id for it, and writes it; its machine id is the one that /etc/machine-id was just given,
 * or, if empty, what stands there. Returns 0 or an errno.
 */
int identity_record_renew(const char *machine_id);

/*
 * What was written last as an environment for a hook, and STILLPOINT_ENTROPY: 64 hexadecimal digits from the kernel's random source, to
 * seed generators outside the kernel. Null-terminated, overwritten by the next call.
 */
char *const *identity_record_environment(void);

#endif
