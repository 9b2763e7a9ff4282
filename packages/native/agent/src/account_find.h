/* The user and groups of a program, from the files of a root. */
#ifndef STILLPOINT_ACCOUNT_FIND_H
#define STILLPOINT_ACCOUNT_FIND_H

#include "account.h"
#include "text.h"

/*
 * Like account_resolve, with /etc/passwd and /etc/group of the folder `root`. Returns 0, or an errno with `problem` naming the
 * offending name or file.
 */
int account_find(int root, const char *user, const char *const *more, struct account *account, struct text *problem);

#endif
