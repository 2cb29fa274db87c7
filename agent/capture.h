/* capture: packet sockets at the points of a round, armed only for it, filtered in the kernel to its probes. What they see is told
 * to the exec. A socket of our own per point instead of a capture library's ring: it is armed within microseconds, takes no
 * memory while nothing passes, and tells which way a frame went and which tag the kernel took out of it. */
#ifndef BW_AGENT_CAPTURE_H
#define BW_AGENT_CAPTURE_H

#include "agent/exec.h"
#include "proto/base/err.h"
#include "proto/loop.h"

struct capture; /* all points of one agent in one round */

/* Arms every point of exec_spec(x) and tells exec_armed for each, with the reason where one could not be armed. Never NULL. */
struct capture *capture_new(struct loop *l, struct exec *x);
/* Reads what is still in the buffers, updates the points' own drop counters (exec_armed again), before exec_result. Once. */
void capture_drain(struct capture *c);
/* Returns at once: the kernel lets each close of a capture wait, which a short-lived thread does. */
void capture_free(struct capture *c);
bool capture_possible(char *why, size_t size); /* have we the right at all? */

#endif
