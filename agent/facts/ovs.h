/* ovs: Open vSwitch on this host, over the unix sockets of its daemons: what it adds to a snapshot, when that changes, and what it
 * would do with a packet. No OVS library, nothing is run. A machine without Open vSwitch pays one failed connect() per snapshot.
 * The configuration is kept and read again when the database says that it changed, the forwarding tables are asked for once a
 * second (nobody announces their changes); a daemon that is slow or silent costs
 * OVS_MS_MAX at most, then nothing for a while, and the snapshot says so (text "ovs.problem"). */
#ifndef BW_AGENT_FACTS_OVS_H
#define BW_AGENT_FACTS_OVS_H

#include "proto/base/err.h"
#include "proto/loop.h"
#include "proto/model/snapshot.h"

#define OVS_RUNDIR "/var/run/openvswitch"
#define OVS_MS_MAX 50 /* of one snapshot, and of one ovs_trace */

/* Where the sockets are. Never called: there is no Open vSwitch. */
void ovs_use(const char *dir);
/* Calls `changed` after the database told of a change. loop NULL: no more. */
void ovs_watch(struct loop *loop, loop_fn *changed, void *arg);
/* The source of facts. */
int fact_read_ovs(struct snapshot *s, struct err *e);

/* The number of the OpenFlow port behind a link of the last snapshot that was read; false: that is none. */
bool ovs_port_of(uint32_t link, uint32_t *number, const char **bridge /* lent until the next snapshot */);

struct ovs_question {
	const char *bridge, *flow; /* as of ofproto/trace */
	bool answer_of_known;      /* connection tracking will know the packet: it belongs to what was begun by the other side */
	char *told;                /* owned by the caller; NULL = not answered */
};
/* Asks all of them at once (`ofproto/trace`). -1: none or not all were answered in time. */
int ovs_trace(struct ovs_question *q, size_t count, struct err *e);

#endif
