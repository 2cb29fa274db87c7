#include "agent/trace_event.h"
#include "proto/base/mem.h"

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#define ETH_HEADER   14
#define HEADER_MAX   64 /* the kernel shows 40 bytes of the network header and 20 of the transport's */
#define VERDICT_MASK 0xff
#define TYPE_POS     12

enum { TYPE_IP4 = 0x0800, TYPE_ARP = 0x0806, TYPE_IP6 = 0x86dd };

static const struct {
	uint8_t family;
	const char *name;
} families[] = {
    {NFPROTO_INET, "inet"}, {NFPROTO_IPV4, "ip"},       {NFPROTO_IPV6, "ip6"},
    {NFPROTO_ARP, "arp"},   {NFPROTO_BRIDGE, "bridge"}, {NFPROTO_NETDEV, "netdev"},
};

static const char *family_name(uint8_t family)
{
	for (size_t i = 0; i < sizeof families / sizeof *families; i++)
		if (families[i].family == family)
			return families[i].name;
	return NULL;
}

/* ---- attributes ---- */

struct attrs {
	const struct nlattr *at[NFTA_TRACE_MAX + 1];
};

static int attr_keep(const struct nlattr *a, void *arg)
{
	struct attrs *t = arg;

	if (mnl_attr_get_type(a) <= NFTA_TRACE_MAX)
		t->at[mnl_attr_get_type(a)] = a;
	return MNL_CB_OK;
}

static uint32_t attr_u32(const struct nlattr *a) { return a && mnl_attr_get_payload_len(a) >= 4 ? ntohl(mnl_attr_get_u32(a)) : 0; }

static uint64_t attr_u64(const struct nlattr *a)
{
	return a && mnl_attr_get_payload_len(a) >= 8 ? be64toh(mnl_attr_get_u64(a)) : 0;
}

static void attr_text(const struct nlattr *a, char *out, size_t size)
{
	size_t len = a ? mnl_attr_get_payload_len(a) : 0;

	len = len < size ? len : size - 1;
	if (len)
		memcpy(out, mnl_attr_get_payload(a), len);
	out[len] = '\0';
}

/* ---- the packet ---- */

static size_t attr_append(const struct nlattr *a, uint8_t *out, size_t at, size_t size)
{
	size_t len = a ? mnl_attr_get_payload_len(a) : 0;

	len = len < size - at ? len : size - at;
	if (len)
		memcpy(out + at, mnl_attr_get_payload(a), len);
	return at + len;
}

/* Bridges and ARP name their protocol by the frame's type, others by their own family. */
static uint16_t ethertype_of(uint32_t nfproto, const uint8_t *network)
{
	if (nfproto == NFPROTO_ARP)
		return TYPE_ARP;
	if (network[0] >> 4 == 4)
		return TYPE_IP4;
	return network[0] >> 4 == 6 ? TYPE_IP6 : TYPE_ARP;
}

static bool packet_read(const struct attrs *a, uint32_t nfproto, struct packet *out)
{
	uint8_t frame[ETH_HEADER + 2 * HEADER_MAX] = {0};
	size_t len = attr_append(a->at[NFTA_TRACE_NETWORK_HEADER], frame, ETH_HEADER, ETH_HEADER + HEADER_MAX);
	uint16_t type;

	if (len == ETH_HEADER)
		return false;
	type = ethertype_of(nfproto, frame + ETH_HEADER);
	frame[TYPE_POS] = (uint8_t)(type >> 8);
	frame[TYPE_POS + 1] = (uint8_t)type;
	len = attr_append(a->at[NFTA_TRACE_TRANSPORT_HEADER], frame, len, sizeof frame);
	return packet_parse(frame, len, 0, out) == 0;
}

/* ---- the message ---- */

static uint32_t verdict_code(const struct nlattr *verdict)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, verdict) if (mnl_attr_get_type(a) == NFTA_VERDICT_CODE) return attr_u32(a);
	return NF_ACCEPT;
}

static bool is_drop(const struct attrs *a, uint32_t type)
{
	if (type == NFT_TRACETYPE_POLICY && a->at[NFTA_TRACE_POLICY])
		return attr_u32(a->at[NFTA_TRACE_POLICY]) == NF_DROP;
	if (type == NFT_TRACETYPE_RULE && a->at[NFTA_TRACE_VERDICT])
		return (verdict_code(a->at[NFTA_TRACE_VERDICT]) & VERDICT_MASK) == NF_DROP;
	return false;
}

int trace_event_parse(uint8_t family, const void *attrs, size_t len, struct trace_event *out)
{
	struct attrs a = {{0}};
	uint32_t type;

	memset(out, 0, sizeof *out);
	out->family = family_name(family);
	if (!out->family || mnl_attr_parse_payload(attrs, len, attr_keep, &a) < 0 || !a.at[NFTA_TRACE_ID])
		return -1;
	type = attr_u32(a.at[NFTA_TRACE_TYPE]);
	out->id = attr_u32(a.at[NFTA_TRACE_ID]);
	attr_text(a.at[NFTA_TRACE_TABLE], out->table, sizeof out->table);
	attr_text(a.at[NFTA_TRACE_CHAIN], out->chain, sizeof out->chain);
	out->handle = type == NFT_TRACETYPE_RULE ? attr_u64(a.at[NFTA_TRACE_RULE_HANDLE]) : 0;
	out->dropped = is_drop(&a, type);
	out->has_packet = packet_read(&a, attr_u32(a.at[NFTA_TRACE_NFPROTO]), &out->packet);
	return 0;
}

/* ---- packets on their way ---- */

static size_t slot_of(uint32_t id) { return id * 2654435761u % TRACE_PACKETS; }

/* An id that comes again, or another in its place, is a newer packet. */
void trace_packets_add(struct trace_packets *t, uint32_t id, uint8_t flow, uint8_t seq, uint8_t part)
{
	t->items[slot_of(id)] = (struct trace_packet){.used = true, .id = id, .flow = flow, .seq = seq, .part = part};
}

const struct trace_packet *trace_packets_find(const struct trace_packets *t, uint32_t id)
{
	const struct trace_packet *p = &t->items[slot_of(id)];

	return p->used && p->id == id ? p : NULL;
}
