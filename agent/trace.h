/* trace: which rule of this machine's nftables ruleset ends the way of a round's packets. A table of our own, "bothways-PID-N",
 * marks them for the kernel's tracing; the kernel then tells every rule they meet. The table belongs to its socket: it goes away
 * with it, also when the process is killed (kernels before 5.12: trace_sweep removes what such an end left).
 * Rules of the netdev family and of the old iptables cannot be seen this way. For the observer's child only. */
#ifndef BW_AGENT_TRACE_H
#define BW_AGENT_TRACE_H

#include "proto/base/err.h"
#include "proto/model/observation.h"
#include "proto/model/plan.h"

struct trace;

/* Nothing is marked when there is no chain that could drop anything. NULL: cannot look. */
struct trace *trace_new(const struct round_spec *spec, struct err *e);
void trace_free(struct trace *t);
int trace_fd(const struct trace *t); /* -1: there is nothing to read */
typedef void trace_fn(void *arg, const struct flow_rule *rule);
void trace_read(struct trace *t, trace_fn *fn, void *arg);
uint32_t trace_lost(const struct trace *t);
void trace_sweep(void); /* removes tables of processes that are no more */

#endif
