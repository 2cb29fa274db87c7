/* child: short-lived processes for what is too heavy, or too dangerous, to have in the agent itself. A child is a copy of the agent
 * that keeps nothing of it but one descriptor; nothing here waits for one that ends, which may take the kernel seconds. */
#ifndef BW_AGENT_CHILD_H
#define BW_AGENT_CHILD_H

#include "proto/loop.h"

#include <sys/types.h>

#define CHILDREN_ENDING_MAX 64

/* Never returns; what it has open is 0 to 2 and `fd`, which is not the agent's number for it. */
typedef void child_fn(int fd);

/* -1 with errno. It dies with the thread that started it. */
pid_t child_start(child_fn *fn, int fd, const char *name);

/* Kills it. `gone` (may be NULL) is called when it is: at once, or out of child_watch or a later child_end. */
typedef void child_gone_fn(void);
void child_end(pid_t pid, child_gone_fn *gone);

/* Takes note of ended children as they end. NULL: no more. */
void child_watch(struct loop *l);

#endif
