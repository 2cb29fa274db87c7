#include "agent/packet.h"

/* One flow of every kind, so that every matcher runs. The first two bytes are the tag handed aside. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct flow flows[KIND_COUNT];
	struct packet p;
	uint8_t flow, seq;
	int part;

	if (size < 2 || packet_parse(data + 2, size - 2, (uint16_t)(data[0] << 8 | data[1]), &p))
		return 0;
	for (int i = 0; i < KIND_COUNT; i++)
		flows[i] = (struct flow){.id = (uint8_t)i,
		                         .kind = (uint8_t)i,
		                         .count = FLOW_PROBES_MAX,
		                         .id_base = (uint16_t)(20000 + 64 * i),
		                         .dport = 7401,
		                         .src = p.ip_src,
		                         .dst = p.ip_dst};
	if (packet_match(&p, flows, KIND_COUNT, p.probe.round, &flow, &seq, &part) == 0 &&
	    (flow >= KIND_COUNT || (seq >= FLOW_PROBES_MAX && seq != PACKET_SEQ_UNKNOWN)))
		__builtin_trap();
	return 0;
}
