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
/* How fit we were since then: for the result of a round, which may outlast a report. */
struct fit_mark {
	struct mono at;
	uint32_t socket_drops;
};
struct fit_mark report_mark(struct report *r);
struct health report_health_since(struct report *r, const struct fit_mark *mark);

#endif
