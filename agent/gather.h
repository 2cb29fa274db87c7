/* gather: many sockets behind one descriptor. Eager, the loop wakes for each of them; else they are looked at only when
 * gather_run is called, so that what came from many peers shares one wake-up. */
#ifndef BW_AGENT_GATHER_H
#define BW_AGENT_GATHER_H

#include "proto/base/err.h"
#include "proto/loop.h"

struct gather;
struct gather_source;

#define GATHER_ERROR 4 /* beside LOOP_READ and LOOP_WRITE: an error waits on the socket */
#define GATHER_EDGE  8 /* gather_add: say each change once, not as long as it lasts */

typedef void gather_fn(void *arg, int fd, int what);

struct gather *gather_new(struct loop *l, struct err *e); /* eager */
void gather_free(struct gather *g);                       /* with the sources that are left */
void gather_eager(struct gather *g, bool eager);
/* NULL and errno. */
struct gather_source *gather_add(struct gather *g, int fd, int what, gather_fn *fn, void *arg);
/* Right before the descriptor is closed: closing takes it out of the kernel's set. NULL is fine. */
void gather_remove(struct gather_source *s);
/* Calls those that have something, once each. */
void gather_run(struct gather *g);

#endif
