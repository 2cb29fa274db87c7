#include "agent/drops_match.h"

#include <stdio.h>
#include <string.h>

#define ETH_HEADER 14

/* The packet as packet_parse wants it: behind an Ethernet header that says no more than what follows. */
int drop_parse(const struct drop_event *event, struct packet *out)
{
	uint8_t frame[ETH_HEADER + DROP_SNAP] = {0};
	size_t length = event->length < DROP_SNAP ? event->length : DROP_SNAP;

	frame[12] = (uint8_t)(event->ethertype >> 8);
	frame[13] = (uint8_t)event->ethertype;
	memcpy(frame + ETH_HEADER, event->data, length);
	return packet_parse(frame, ETH_HEADER + length, 0, out);
}

/* "nft_do_chain.constprop.0 [nf_tables]" -> "nft_do_chain" */
static void place_name(const struct drop_event *event, char *out, size_t size)
{
	char symbol[DROP_PLACE];

	memcpy(symbol, event->place, sizeof symbol);
	symbol[DROP_PLACE - 1] = '\0';
	snprintf(out, size, "%.*s", (int)strcspn(symbol, ". +["), strncmp(symbol, "0x", 2) == 0 ? "" : symbol);
}

/* ARP replies and neighbour advertisements do not say what they answer. Kernels answer in order: the n-th answers the n-th. */
static uint8_t seq_known(const struct flow *f, uint8_t seq, uint8_t *next)
{
	if (seq != PACKET_SEQ_UNKNOWN)
		return seq;
	seq = *next;
	if (*next + 1 < f->count)
		(*next)++;
	return seq;
}

int drop_match(const struct drop_event *event, const struct packet *p, const struct round_spec *spec, bool wholly,
               struct drop_nameless *nameless, struct flow_drop *out)
{
	uint8_t flow, seq;
	uint32_t first;
	int part;

	if (packet_match(p, spec->flows, spec->flow_count, spec->id, &flow, &seq, &part) || flow >= spec->flow_count ||
	    (wholly && packet_is_half(p, &spec->flows[flow], &first)))
		return -1;
	seq = seq_known(&spec->flows[flow], seq, &nameless->next[flow][part]);
	*out = (struct flow_drop){.flow = flow, .part = (uint8_t)part, .seqs = (seqset)1 << (seq % FLOW_PROBES_MAX)};
	place_name(event, out->place, sizeof out->place);
	snprintf(out->ifname, sizeof out->ifname, "%.*s", DROP_IFNAME - 1, event->ifname);
	return 0;
}

bool drop_is_noise(const struct packet *p, const struct flow_drop *drop)
{
	static const char *const closings[] = {"inet_sock_destruct", "inet6_sock_destruct", "packet_sock_destruct",
	                                       "__sk_destruct"};
	bool reply = (p->l4 == IPPROTO_ICMP && p->icmp_type == 0) || (p->l4 == IPPROTO_ICMPV6 && p->icmp_type == 129);

	if (reply && strcmp(drop->reason, "NO_SOCKET") == 0)
		return true;
	for (size_t i = 0; i < sizeof closings / sizeof *closings; i++)
		if (strcmp(drop->place, closings[i]) == 0)
			return true;
	return false;
}
