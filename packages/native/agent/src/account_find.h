/* Who a program runs as, by the files of a root. */
#ifndef STILLPOINT_ACCOUNT_FIND_H
#define STILLPOINT_ACCOUNT_FIND_H

#include "account.h"
#include "text.h"

/*
 * As account_resolve, with /etc/passwd and /etc/group of the folder `root`. Returns 0, or an errno with `problem` saying what is
 * wrong with which name or file.
 */
int account_find(int root, const char *user, const char *const *more, struct account *account, struct text *problem);

#endif
