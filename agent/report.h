/* report: what the agent says of itself and of its probes, regularly: rows of closed epochs, the observer's health, and a
 * snapshot of the machine when something about it changed. Numbered into the spool; the uplink sends them. */
#ifndef BW_AGENT_REPORT_H
#define BW_AGENT_REPORT_H

#include "agent/agent.h"

struct report *report_new(struct agent *a, struct err *e);
void report_free(struct report *r);
/* The collector may know nothing of this machine: the next report carries a snapshot, at once. */
void report_welcomed(struct report *r);
void report_plan_changed(struct report *r); /* how often to report */
/* How fit we are, for a round's result too. */
struct health report_health(struct report *r);

#endif
