/* What a killed operation on files has left behind is removed all the same. */
#ifndef STILLPOINT_FILE_REMOVER_H
#define STILLPOINT_FILE_REMOVER_H

/*
 * Starts a process that outlives this one if it is killed, and then removes `name` in the directory `above`. Returns what a byte
 * is written to when there is nothing to be removed, or -1.
 */
int start_remover(int above, const char *name);

#endif
