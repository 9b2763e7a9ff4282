/* The environment of programs that the agent starts: defaults, then the configuration, then the identity. */
#ifndef STILLPOINT_ENVIRONMENT_H
#define STILLPOINT_ENVIRONMENT_H

/* Takes the configured NAME=value items, which must stay valid. */
void environment_configure(char *const *items);

/*
 * Replaces the items that came with the identity by a copy of `items` (null-terminated).
 * Returns 0 or an errno; on failure the earlier ones stay.
 */
int environment_set_identity(char *const *items);

/*
 * Merges everything and then `extra` (may be null); later ones win. `home` is the default HOME; null: that of uid 0. Free the
 * result with free(). Null: no memory.
 */
char **environment_merge(const char *home, char *const *extra);

/* The value of `name` in `environment`, or null. */
const char *environment_value(char *const *environment, const char *name);

#endif
