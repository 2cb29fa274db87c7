/* trace_event: what one message of the kernel's nftables tracing says, and which packet of the round it is about. Bytes in,
 * values out. */
#ifndef BW_AGENT_TRACE_EVENT_H
#define BW_AGENT_TRACE_EVENT_H

#include "agent/packet.h"

struct trace_event {
	uint32_t id;        /* of the packet, while it is in the ruleset */
	const char *family; /* static */
	char table[64], chain[64];
	uint64_t handle; /* 0: the chain's policy */
	bool dropped;    /* this ended its way */
	bool has_packet; /* the first message of each chain shows the packet's headers */
	struct packet packet;
};

/* `attrs`: what stands behind the nfnetlink header of NFT_MSG_TRACE. -1: not one we can use. */
int trace_event_parse(uint8_t family, const void *attrs, size_t len, struct trace_event *out);

/* What is known of one packet of the round, by the id the kernel gave it. */
struct trace_packet {
	bool used;
	uint32_t id;
	uint8_t flow, seq, part;
};
#define TRACE_PACKETS 512

struct trace_packets {
	struct trace_packet items[TRACE_PACKETS];
};
void trace_packets_add(struct trace_packets *t, uint32_t id, uint8_t flow, uint8_t seq, uint8_t part);
const struct trace_packet *trace_packets_find(const struct trace_packets *t, uint32_t id);

#endif
