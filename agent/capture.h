/* capture: listeners at the points of a round, armed only for it, filtered in the kernel to its probes. What they hear is told to
 * the exec, in order of time at each point, with the way that the frame went. */
#ifndef BW_AGENT_CAPTURE_H
#define BW_AGENT_CAPTURE_H

#include "agent/exec.h"
#include "proto/base/err.h"
#include "proto/loop.h"

struct capture; /* all points of one agent in one round */

/* Arms every point of exec_spec(x), which takes some 10 to 50 ms, and tells exec_armed for each, with the reason where one could
 * not be armed. At an interface that is down nothing passes: it counts as armed while it stays down. Never NULL. */
struct capture *capture_new(struct loop *l, struct exec *x);
/* Reads what is still in the buffers, updates the points' own drop counters (exec_armed again), before exec_result. Once. */
void capture_drain(struct capture *c);
/* Returns at once: the kernel lets each close of a capture wait, which short-lived threads do. */
void capture_free(struct capture *c);
bool capture_possible(char *why, size_t size); /* have we the right at all? */

#endif
