/* evidence_drops: what the kernels say of the packets that die. A kernel that says nothing proves nothing: many drops have no
 * word, and one that names another reason speaks against. */
#include "collector/diagnose/inquiry.h"
#include "collector/dropped.h"

#include <stdio.h>
#include <string.h>

/* ---- words about this problem ---- */

/* On the stretch; where that is not known, anywhere on the way. */
static bool party_stands(const struct inquiry *q, int party)
{
	const struct problem *p = q->p;
	size_t from = p->placed ? p->after : 0, to = p->placed ? p->before + 1u : q->v->dir[p->dir].path_count;
	for (size_t i = from; i < to; i++) {
		if (point_party(q->d, q->v, p->dir, i) == party)
			return true;
	}
	return p->placed ? party == p->drop_party : party == q->src || party == q->dst;
}

typedef bool row_fn(enum drop_class have, enum drop_class asked);
static bool is_class(enum drop_class have, enum drop_class asked) { return have == asked; }
static bool is_other(enum drop_class have, enum drop_class asked) { return have != asked; }

/* Kinds of which this machine's kernel says so; *first is one of the rows. */
static kind_mask kinds_said(const struct inquiry *q, int party, row_fn *is, enum drop_class asked, enum drop_weight from,
                            const struct flow_drop **first)
{
	const struct round_result *r = party_stands(q, party) ? q->d->party[party].result : NULL;
	kind_mask m = 0;
	for (size_t i = 0; r && i < r->drops_count; i++) {
		const struct flow_drop *d = &r->drops[i];
		int kind = problem_row_kind(q->d, q->p, d->flow, d->part, d->seqs);
		if (kind < 0 || dropped_weight(d->reason, d->place) < from || !is(dropped_class(d->reason, d->place), asked))
			continue;
		m |= KIND_BIT(kind);
		*first = *first ? *first : d;
	}
	return m & dying(q);
}

static kind_mask anybody_says(const struct inquiry *q, row_fn *is, enum drop_class asked, enum drop_weight from, int *who,
                              const struct flow_drop **first)
{
	kind_mask m = 0;
	for (size_t i = 0; i < q->d->party_count; i++) {
		bool fresh = !*first;
		m |= kinds_said(q, (int)i, is, asked, from, first);
		if (fresh && *first)
			*who = (int)i;
	}
	return m;
}

kind_mask said_by_filter(const struct inquiry *q)
{
	const struct flow_drop *row = NULL;
	return kinds_said(q, q->who, is_class, DROP_BY_FILTER, DROP_NAMED, &row);
}

/* ---- saying it ---- */

static const char *row_text(const struct inquiry *q, int party, const struct flow_drop *r, char *out, size_t size)
{
	snprintf(out, size, "the kernel of %s dropped it: %s%s%s%s%s", name_of(q, party), r->reason, r->place[0] ? " in " : "",
	         r->place, r->ifname[0] ? " at " : "", r->ifname);
	return out;
}

static void says_nothing(const struct inquiry *q, struct finding *f)
{
	find_unknown(f, "the kernel of %s does not say why it was dropped", name_of(q, q->who));
}

/* `anywhere`: whichever machine on the stretch says so; else the machine in mind. */
static void drop_says(const struct inquiry *q, struct finding *f, enum drop_class asked, bool anywhere)
{
	const struct flow_drop *row = NULL, *other = NULL;
	char text[320];
	int by = q->who;
	kind_mask kinds = anywhere ? anybody_says(q, is_class, asked, DROP_AFTERMATH, &by, &row)
	                           : kinds_said(q, q->who, is_class, asked, DROP_AFTERMATH, &row);
	if (kinds) {
		if (row->ifname[0])
			bindings_add(q->learned, "drop.if", "%s", row->ifname);
		bindings_add(q->learned, "dropper", "%s", name_of(q, by));
		find_yes(f, kinds, "%s", row_text(q, by, row, text, sizeof text));
		return;
	}
	kinds = anybody_says(q, is_other, asked, DROP_NAMED, &by, &other);
	if (other && kinds == dying(q))
		find_no(f, "%s", row_text(q, by, other, text, sizeof text));
	else
		says_nothing(q, f);
}

#define DROP_SAYS(name, class, anywhere)                                                                                           \
	static void name(const struct inquiry *q, struct finding *f) { drop_says(q, f, class, anywhere); }
DROP_SAYS(by_filter, DROP_BY_FILTER, false)
DROP_SAYS(by_rpfilter, DROP_BY_RPFILTER, false)
DROP_SAYS(by_route, DROP_BY_ROUTE, false)
DROP_SAYS(by_address, DROP_BY_ADDRESS, false)
DROP_SAYS(by_neighbour, DROP_BY_NEIGHBOUR, false)
DROP_SAYS(by_otherhost, DROP_BY_OTHERHOST, true)
DROP_SAYS(by_checksum, DROP_BY_CHECKSUM, true)
DROP_SAYS(by_size, DROP_BY_SIZE, true)
DROP_SAYS(by_socket, DROP_BY_SOCKET, false)
DROP_SAYS(by_ring, DROP_BY_RING, false)
DROP_SAYS(by_buffer, DROP_BY_BUFFER, false)
DROP_SAYS(by_queue, DROP_BY_QUEUE, false)
DROP_SAYS(by_port, DROP_BY_PORT, false)
DROP_SAYS(by_fdb, DROP_BY_FDB, false)
DROP_SAYS(by_ipv6_off, DROP_BY_IPV6_OFF, false)
DROP_SAYS(by_program, DROP_BY_PROGRAM, false)
DROP_SAYS(by_tunnel, DROP_BY_TUNNEL, false)

/* Somebody on the stretch names another reason than a filter, and this machine's kernel does not name a filter. */
static void not_by_filter(const struct inquiry *q, struct finding *f)
{
	const struct flow_drop *other = NULL;
	char text[320];
	int by = q->who;
	kind_mask kinds = anybody_says(q, is_other, DROP_BY_FILTER, DROP_NAMED, &by, &other);
	kinds &= ~said_by_filter(q);
	if (kinds)
		find_yes(f, kinds, "%s", row_text(q, by, other, text, sizeof text));
}

/* ICMP of the same size and family passes: it is its sender's fault, not damage on the way. */
static void icmp_intact(const struct inquiry *q, struct finding *f)
{
	kind_mask icmp = kinds_of_proto(PROTO_ICMP), v4 = dying(q) & kinds_of_family(4), v6 = dying(q) & kinds_of_family(6);
	bool passes = false;
	for (int k = 0; k < KIND_COUNT; k++) {
		kind_mask same = kind_info((enum kind)k)->family == 4 ? v4 : v6;
		passes |= icmp & KIND_BIT(k) && same && q->v->dir[q->p->dir].delivery[k] == CELL_OK;
	}
	if (dying(q) & icmp)
		find_no(f, "ICMP, whose checksum no interface makes, is lost as well");
	else if (passes)
		find_yes(f, dying(q), "ICMP, whose checksum no interface makes, passes");
	else
		find_unknown(f, "ICMP was not measured on this way");
}

#define READS "drop reasons"
static const struct evidence items[] = {
    {"drop-reason-filter", by_filter, READS, "the machine's kernel says a filter dropped it"},
    {"drop-reason-rpfilter", by_rpfilter, READS, "the machine's kernel says reverse-path filtering dropped it"},
    {"drop-reason-no-route", by_route, READS, "the machine's kernel says it has no route, or one that refuses"},
    {"drop-reason-address", by_address, READS, "the machine's kernel says the address is not its own, and it does not forward"},
    {"drop-reason-neighbour", by_neighbour, READS, "the machine's kernel says the neighbour did not answer"},
    {"drop-reason-otherhost", by_otherhost, READS, "a kernel on the way says the frame is addressed to another machine"},
    {"drop-reason-checksum", by_checksum, READS, "a kernel on the way says the checksum is wrong"},
    {"drop-reason-size", by_size, READS, "a kernel on the way says the packet is too large"},
    {"drop-reason-no-socket", by_socket, READS, "the machine's kernel says nothing listens there"},
    {"drop-reason-ring", by_ring, READS, "the machine's kernel says the queue of a virtual interface is full"},
    {"drop-reason-buffer", by_buffer, READS, "the machine's kernel says a buffer is full: of a socket, or the backlog of a CPU"},
    {"drop-reason-queue", by_queue, READS, "the machine's kernel says a queueing discipline dropped it"},
    {"drop-reason-port-state", by_port, READS, "the machine's kernel says a bridge port does not forward"},
    {"drop-reason-no-port", by_fdb, READS, "the machine's kernel says the bridge has no port to send it to"},
    {"drop-reason-ipv6-off", by_ipv6_off, READS, "the machine's kernel says IPv6 is disabled"},
    {"drop-reason-program", by_program, READS, "the machine's kernel says a program at the interface dropped it (tc, XDP)"},
    {"drop-reason-tunnel", by_tunnel, READS, "the machine's kernel says the tunnel does not know it"},
    {"drop-not-by-filter", not_by_filter, READS, "a kernel on the way names another reason than a filter"},
    {"icmp-intact", icmp_intact, "cut, matrix", "ICMP passes the same way, so nothing damages packets on it"},
};
const struct evidence_table evidence_drops = {items, sizeof items / sizeof *items};
