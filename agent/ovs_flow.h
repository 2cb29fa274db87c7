/* ovs_flow: PURE. A probe as Open vSwitch writes a flow, and what the answer of ofproto/trace says of its fate. */
#ifndef BW_AGENT_OVS_FLOW_H
#define BW_AGENT_OVS_FLOW_H

#include "proto/model/observation.h"
#include "proto/model/plan.h"

#define OVS_FLOW_MAX 384

/* One packet of a flow as a port saw it. */
struct ovs_packet {
	const struct flow *flow;
	enum flow_part part; /* PART_PROBE or PART_ANSWER */
	uint8_t seq;
	struct mac src, dst;
	uint16_t vlan;    /* its tag, 0 = none */
	uint32_t in_port; /* OpenFlow number */
};
void ovs_flow_format(const struct ovs_packet *p, char out[static OVS_FLOW_MAX]);

struct ovs_fate {
	bool dropped;    /* certainly: nothing of it leaves by any port, nor goes to anybody else */
	bool by_ports;   /* what was decided depends on the transport's ports: it says nothing of other sequences */
	char bridge[64]; /* where it ended */
	unsigned table;
	char text[256]; /* the flow entry, and what it did */
};
void ovs_fate_read(const char *trace, struct ovs_fate *out);

#endif
