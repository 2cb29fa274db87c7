#include "collector/dropped.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Measured on kernels up to 6.18; a word that is not here is a named drop of no special kind. The first that fits counts. */
static const struct word {
	const char *reason, *place; /* '*' = the rest may be anything; NULL = anywhere */
	enum drop_weight weight;
	enum drop_class class;
} words[] = {
    {"NO_SOCKET", "ping_rcv", DROP_NOISE, DROP_BY_OTHER}, /* an echo reply that a raw socket has read */
    {"NO_SOCKET", "pingv6_rcv", DROP_NOISE, DROP_BY_OTHER},
    {"QUEUE_PURGE", NULL, DROP_NOISE, DROP_BY_OTHER}, /* a socket closed with unread data */
    {"SOCKET_CLOSE", NULL, DROP_NOISE, DROP_BY_OTHER},
    {"SOCKET_FILTER", NULL, DROP_NOISE, DROP_BY_OTHER}, /* the filter of one of several listeners */
    {"PACKET_SOCK_ERROR", NULL, DROP_NOISE, DROP_BY_OTHER},
    {"*CONSUMED", NULL, DROP_NOISE, DROP_BY_OTHER},
    {"TCP_OLD_DATA", NULL, DROP_NOISE, DROP_BY_OTHER},
    {"NOT_SPECIFIED", "ip6_mc_input", DROP_NOISE, DROP_BY_OTHER},
    {"NOT_SPECIFIED", "tcp_v4_rcv", DROP_NOISE, DROP_BY_OTHER}, /* a SYN again, for a connection in the making */
    {"NOT_SPECIFIED", "tcp_v6_rcv", DROP_NOISE, DROP_BY_OTHER},
    {"NOT_SPECIFIED", "ip_error", DROP_NAMED, DROP_BY_ROUTE},
    {"NOT_SPECIFIED", "*neigh_*", DROP_AFTERMATH, DROP_BY_NEIGHBOUR},
    {"NOT_SPECIFIED", "__dev_forward_skb*", DROP_NAMED, DROP_BY_SIZE},
    {"NOT_SPECIFIED", "br_dev_queue_push_xmit", DROP_NAMED, DROP_BY_SIZE},
    {"NOT_SPECIFIED", "ip_fragment", DROP_NAMED, DROP_BY_SIZE},
    {"NOT_SPECIFIED", "br_handle_frame_finish", DROP_VAGUE, DROP_BY_FDB},
    {"NOT_SPECIFIED", "*_xdp_*", DROP_NAMED, DROP_BY_PROGRAM}, /* do_xdp_generic */
    {"NOT_SPECIFIED", NULL, DROP_VAGUE, DROP_BY_OTHER},
    {"UNHANDLED_PROTO", NULL, DROP_VAGUE, DROP_BY_OTHER},
    {"NEIGH_*", NULL, DROP_AFTERMATH, DROP_BY_NEIGHBOUR},
    {"OTHERHOST", NULL, DROP_COPY, DROP_BY_OTHERHOST},
    {"IPV6_NDISC_NS_OTHERHOST", NULL, DROP_COPY, DROP_BY_OTHERHOST},
    {"NETFILTER_DROP", NULL, DROP_NAMED, DROP_BY_FILTER},
    {"IP_RPFILTER", NULL, DROP_NAMED, DROP_BY_RPFILTER},
    {"IP_OUTNOROUTES", NULL, DROP_NAMED, DROP_BY_ROUTE},
    {"IP_INNOROUTES", NULL, DROP_NAMED, DROP_BY_ROUTE},
    {"IP_INADDRERRORS", NULL, DROP_NAMED, DROP_BY_ADDRESS},
    {"*_CSUM", NULL, DROP_NAMED, DROP_BY_CHECKSUM},
    {"PKT_TOO_BIG", NULL, DROP_NAMED, DROP_BY_SIZE},
    {"NO_SOCKET", NULL, DROP_NAMED, DROP_BY_SOCKET},
    {"FULL_RING", NULL, DROP_NAMED, DROP_BY_RING},
    {"SOCKET_RCVBUFF", NULL, DROP_NAMED, DROP_BY_BUFFER},
    {"SOCKET_BACKLOG", NULL, DROP_NAMED, DROP_BY_BUFFER},
    {"PROTO_MEM", NULL, DROP_NAMED, DROP_BY_BUFFER},
    {"CPU_BACKLOG", NULL, DROP_NAMED, DROP_BY_BUFFER},
    {"TCP_LISTEN_OVERFLOW", NULL, DROP_NAMED, DROP_BY_BUFFER},
    {"QDISC_*", NULL, DROP_NAMED, DROP_BY_QUEUE},
    {"CAKE_*", NULL, DROP_NAMED, DROP_BY_QUEUE},
    {"FQ_*", NULL, DROP_NAMED, DROP_BY_QUEUE},
    {"DUALPI2_*", NULL, DROP_NAMED, DROP_BY_QUEUE},
    {"BRIDGE_*", NULL, DROP_NAMED, DROP_BY_PORT},
    {"NO_TX_TARGET", NULL, DROP_NAMED, DROP_BY_FDB},
    {"IPV6DISABLED", NULL, DROP_NAMED, DROP_BY_IPV6_OFF},
    {"TC_*", NULL, DROP_NAMED, DROP_BY_PROGRAM},
    {"XDP", NULL, DROP_NAMED, DROP_BY_PROGRAM},
    {"BPF_*", NULL, DROP_NAMED, DROP_BY_PROGRAM},
    {"TAP_*", NULL, DROP_NAMED, DROP_BY_PROGRAM},
    {"VXLAN_VNI_NOT_FOUND", NULL, DROP_NAMED, DROP_BY_TUNNEL},
    {"VXLAN_*", NULL, DROP_NAMED, DROP_BY_OTHER}, /* its own table, an odd sender: no disagreement of the ends */
    {"IP_TUNNEL_*", NULL, DROP_NAMED, DROP_BY_TUNNEL},
    {"TUNNEL_*", NULL, DROP_NAMED, DROP_BY_TUNNEL},
    {"TCP_*", NULL, DROP_VAGUE, DROP_BY_OTHER}, /* out of its window, its sequence: of doubled and late ones */
};

static bool fits(const char *pattern, const char *text)
{
	size_t n = strlen(pattern), len = strlen(text);
	bool head = pattern[0] == '*', tail = n > 1 && pattern[n - 1] == '*';
	char middle[64];
	snprintf(middle, sizeof middle, "%.*s", (int)(n - head - tail), pattern + head);
	n = strlen(middle);
	if (head && tail)
		return strstr(text, middle) != NULL;
	return len >= n && strncmp(head ? text + len - n : text, middle, n) == 0 && (head || tail || len == n);
}

static const struct word *word_of(const char *reason, const char *place)
{
	static const struct word any = {.weight = DROP_NAMED, .class = DROP_BY_OTHER};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		const struct word *w = &words[i];
		if (fits(w->reason, reason) && (!w->place || fits(w->place, place)))
			return w;
	}
	return &any;
}

enum drop_weight dropped_weight(const char *reason, const char *place) { return word_of(reason, place)->weight; }
enum drop_class dropped_class(const char *reason, const char *place) { return word_of(reason, place)->class; }

const char *dropped_class_words(enum drop_class c)
{
	static const char *const texts[DROP_CLASSES] = {
	    [DROP_BY_OTHER] = "something else",
	    [DROP_BY_FILTER] = "a filter",
	    [DROP_BY_RPFILTER] = "the reverse-path filter",
	    [DROP_BY_ROUTE] = "the routing table",
	    [DROP_BY_ADDRESS] = "routing that does not forward",
	    [DROP_BY_NEIGHBOUR] = "a neighbour that did not answer",
	    [DROP_BY_OTHERHOST] = "a wrong hardware address",
	    [DROP_BY_CHECKSUM] = "a wrong checksum",
	    [DROP_BY_SIZE] = "its size",
	    [DROP_BY_SOCKET] = "a port without a listener",
	    [DROP_BY_RING] = "a full ring",
	    [DROP_BY_BUFFER] = "a full buffer",
	    [DROP_BY_QUEUE] = "a queueing discipline",
	    [DROP_BY_PORT] = "a bridge port that does not forward",
	    [DROP_BY_FDB] = "a bridge that has no port for it",
	    [DROP_BY_IPV6_OFF] = "IPv6 being disabled",
	    [DROP_BY_PROGRAM] = "a program at the interface (tc, XDP)",
	    [DROP_BY_TUNNEL] = "the tunnel",
	};
	return texts[c < DROP_CLASSES ? c : DROP_BY_OTHER];
}

seqset dropped_for_good(const struct dossier *d, const struct flow *f, uint8_t part, seqset seqs)
{
	const struct flow_sent *s = dossier_sent(d, f->id);
	const struct flow_received *r = dossier_received(d, f->id);
	seqset back = s ? s->answered | s->late | s->refused : 0;
	if (part != PART_PROBE)
		return seqs & ~back;
	/* kept for an unresolved neighbour: a frame of ours may have arrived in its place */
	seqset replaced = s && s->unresolved ? s->directed : 0;
	return seqs & ~((r ? r->seen : back) & ~replaced);
}

/* ---- rules ---- */

bool traced_stops(const struct flow_rule *r) { return r->verdict == FW_DROP || r->verdict == FW_REJECT || r->verdict == FW_QUEUE; }

static const struct fw_chain *chain_in(const struct snapshot *s, const struct flow_rule *r)
{
	for (size_t i = 0; s && i < s->chain_count; i++) {
		const struct fw_chain *c = &s->chains[i];
		if (!strcmp(c->family, r->family) && !strcmp(c->table, r->table) && !strcmp(c->name, r->chain))
			return c;
	}
	return NULL;
}

static const struct fw_rule *rule_in(const struct fw_chain *c, uint64_t handle)
{
	for (size_t i = 0; c && handle && i < c->rule_count; i++) {
		if (c->rules[i].handle == handle)
			return &c->rules[i];
	}
	return NULL;
}

/* Handles are never given twice: whichever of the two readings has it tells its text. */
const struct fw_rule *traced_rule(const struct dossier *d, int party, const struct flow_rule *r, const struct fw_chain **chain)
{
	const struct party *p = &d->party[party];
	const struct snapshot *const both[] = {p->after, p->before};
	*chain = NULL;
	for (size_t i = 0; i < 2; i++) {
		const struct fw_chain *c = chain_in(both[i], r);
		const struct fw_rule *rule = rule_in(c, r->handle);
		*chain = *chain ? *chain : c;
		if (rule) {
			*chain = c;
			return rule;
		}
	}
	return NULL;
}

const char *traced_text(const struct dossier *d, int party, const struct flow_rule *r, char *out, size_t size)
{
	const struct fw_chain *chain;
	const struct fw_rule *rule = traced_rule(d, party, r, &chain);
	const char *text = r->text[0] ? r->text : rule ? rule->text : "";
	if (strcmp(r->family, "ovs") == 0)
		snprintf(out, size, "ovs %s%s%s%s%s", r->table, r->chain[0] ? " " : "", r->chain, text[0] ? ": " : "", text);
	else if (!r->handle)
		snprintf(out, size, "%s %s %s policy %s", r->family, r->table, r->chain,
		         r->verdict == FW_REJECT ? "reject" : "drop");
	else
		snprintf(out, size, "%s %s %s handle %" PRIu64 "%s%s", r->family, r->table, r->chain, r->handle,
		         text[0] ? ": " : "", text);
	return out;
}
