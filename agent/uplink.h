/* uplink: the session with the collector over whichever path works: the direct connection or the out-of-band stream. Joins,
 * says hello, takes the plan, sends what the spool keeps until it is acknowledged, hands rounds and relayed frames to their
 * owners. With no path at all the agent goes on measuring by the plan it has. */
#ifndef BW_AGENT_UPLINK_H
#define BW_AGENT_UPLINK_H

#include "agent/agent.h"

struct uplink *uplink_new(struct agent *a, struct err *e);
void uplink_free(struct uplink *u);
/* Has the collector welcomed us, on a path that lives? */
bool uplink_ready(const struct uplink *u);
/* Sends a message that is worth something now only. -1 when there is no session or the queue is full. */
int uplink_send(struct uplink *u, const struct msg *m);
/* There is something new in the spool. */
void uplink_spooled(struct uplink *u);

#endif
