/* The machine's own name in the root's /etc/hosts: programs look themselves up by it. */
#ifndef STILLPOINT_HOSTS_H
#define STILLPOINT_HOSTS_H

/* The address of its line, as in Debian. */
#define HOSTS_OWN_ADDRESS "127.0.1.1"

/* Gives the agent's line the new name. A file that was replaced is left alone. Returns 0 or an errno. */
int hosts_rename(const char *from, const char *to);

#endif
