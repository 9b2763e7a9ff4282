/* Removes the leftovers of a killed file operation. */
#ifndef STILLPOINT_FILE_REMOVER_H
#define STILLPOINT_FILE_REMOVER_H

/*
 * Starts a process that outlives this one if it is killed, and then removes `name` in the directory `above`. Returns a
 * descriptor: writing a byte to it cancels the removal. Returns -1 on an error. It holds standard error open until it ends.
 */
int start_remover(int above, const char *name);

#endif
