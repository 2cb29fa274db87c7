/* backlog: reports that were not acknowledged when the agent was stopped: kept in a file of the state directory from a clean stop
 * until the next start, which delivers them before anything new. Reports of one run keep that run's boot and numbers, so that
 * each counts once. An agent that is killed takes its spool with it: writing every report to a disk would cost more than the
 * second it could save. */
#ifndef BW_AGENT_BACKLOG_H
#define BW_AGENT_BACKLOG_H

#include "agent/spool.h"
#include "proto/base/err.h"

#define BACKLOG_RUNS_MAX 8 /* the newest; what was not delivered for longer is given up */

struct backlog;

/* Takes what was kept, and the file away. Never NULL; a file that is damaged is read as far as it goes. */
struct backlog *backlog_load(const char *dir);
/* The reports of the oldest run, with at least one in it; NULL when there are none (any more). Lent. */
struct spool *backlog_front(struct backlog *b, uint64_t *boot);
/* Gives up the oldest run. */
void backlog_drop(struct backlog *b);
/* Keeps what is left of `b` and what is in `now`; without anything, there is no file. */
int backlog_save(struct backlog *b, const char *dir, uint64_t boot, const struct spool *now, struct err *e);
void backlog_free(struct backlog *b);

#endif
