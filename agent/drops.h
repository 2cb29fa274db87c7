/* drops: which packets of a round this machine's kernel dropped and why, and which rule of its ruleset did it. The work is done
 * by a short-lived child, so that this process stays as small as it was and nothing can stay in the kernel; it is started by
 * the first round and ended a few seconds after the last one. Never fails a round: what cannot be looked at is told as such. */
#ifndef BW_AGENT_DROPS_H
#define BW_AGENT_DROPS_H

#include "agent/drops_child.h"
#include "proto/loop.h"

struct drops;

/* Every record of every armed round. READY comes once per drops_arm, ENDED once per drops_end, each within a bounded time,
 * possibly from within the call itself. */
typedef void drops_told_fn(void *arg, const struct drops_record *record);

struct drops *drops_new(struct loop *l, bool trace_rules /* or never */, drops_told_fn *fn, void *arg);
void drops_free(struct drops *d);
void drops_arm(struct drops *d, const struct round_spec *spec);
void drops_end(struct drops *d, uint64_t round);
/* No records of this round any more. */
void drops_forget(struct drops *d, uint64_t round);
bool drops_possible(char *why, size_t size); /* have we the right at all? */

#endif
