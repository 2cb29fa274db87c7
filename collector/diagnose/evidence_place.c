/* evidence_place: where it dies, and what dies, seen from one machine. */
#include "collector/diagnose/inquiry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TEXT 128

static size_t last_point(const struct inquiry *q) { return q->v->dir[q->p->dir].path_count - 1; }
static const char *point(const struct inquiry *q, size_t i, char out[static POINT_NAME_MAX])
{
	return path_point_name(&q->v->dir[q->p->dir].path[i], out);
}
static uint8_t role(const struct inquiry *q, size_t i) { return q->v->dir[q->p->dir].path[i].role; }
static int owner(const struct inquiry *q, size_t i) { return point_party(q->d, q->v, q->p->dir, i); }

static void is_guest(const struct inquiry *q, struct finding *f)
{
	if (q->d->party[q->who].kind == AGENT_GUEST)
		find_yes(f, ~0u, "%s", "");
}

static void is_host(const struct inquiry *q, struct finding *f)
{
	if (q->d->party[q->who].kind == AGENT_HOST)
		find_yes(f, ~0u, "%s", "");
}

/* ---- in the machine's own stack ---- */

static bool leaving(const struct inquiry *q) { return q->p->placed && q->who == q->src && q->p->after == 0; }
static bool arriving(const struct inquiry *q) { return q->p->placed && q->who == q->dst && q->p->before == last_point(q); }

static const char *what_dies(const struct inquiry *q)
{
	return q->p->probes && q->p->answers ? "probes and answers" : q->p->answers ? "answers" : "probes";
}

static void lost_leaving(const struct inquiry *q, struct finding *f)
{
	char kinds[TEXT], to[POINT_NAME_MAX];
	if (!leaving(q)) {
		find_no(f, "%s sends it all", name_of(q, q->who));
		return;
	}
	find_yes(f, q->p->probes | q->p->answers | q->p->starts, "%s of %s towards %s (%s) never reach %s", what_dies(q),
	         name_of(q, q->who), name_of(q, q->dst), kinds_text(dying(q), kinds, sizeof kinds), point(q, q->p->before, to));
}

static void lost_arriving(const struct inquiry *q, struct finding *f)
{
	char kinds[TEXT], at[POINT_NAME_MAX];
	if (!arriving(q)) {
		find_no(f, "what comes for %s is not lost inside it", name_of(q, q->who));
		return;
	}
	find_yes(f, dying(q), "%s (%s) are seen at %s but not at the socket of %s", what_dies(q),
	         kinds_text(dying(q), kinds, sizeof kinds), point(q, q->p->after, at), name_of(q, q->who));
}

static bool silent(const struct inquiry *q) { return (leaving(q) && q->p->answers) || (q->who == q->dst && q->p->starts); }

static void not_answered(const struct inquiry *q, struct finding *f)
{
	char kinds[TEXT];
	kind_mask which = q->who == q->src ? q->p->answers | q->p->starts : q->p->starts;
	if (!silent(q)) {
		find_no(f, "%s answers", name_of(q, q->who));
		return;
	}
	find_yes(f, which, "%s receives the requests (%s) and no answer leaves it", name_of(q, q->who),
	         kinds_text(which, kinds, sizeof kinds));
}

static void in_own_stack(const struct inquiry *q, struct finding *f)
{
	if (leaving(q))
		lost_leaving(q, f);
	else if (arriving(q))
		lost_arriving(q, f);
	else
		not_answered(q, f);
}

/* Without a way back, packets that come in die only where reverse-path filtering is on. */
static bool checks_way_back(const struct inquiry *q)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	char name[96];
	int64_t all = 0, own = 0;
	snprintf(name, sizeof name, "net.ipv4.conf.%s.rp_filter", party_if(q->d, q->who));
	return s && ((snapshot_sysctl(s, "net.ipv4.conf.all.rp_filter", &all) && all) || (snapshot_sysctl(s, name, &own) && own));
}

static void cannot_send(const struct inquiry *q, struct finding *f)
{
	in_own_stack(q, f);
	if (f->is != TRI_YES || !arriving(q))
		return;
	if (checks_way_back(q) && f->kinds & kinds_of_family(4))
		f->kinds &= kinds_of_family(4);
	else
		find_no(f, "%s loses what comes in, not what it sends", name_of(q, q->who));
}

static bool refused_at_home(const struct inquiry *q, int kind)
{
	const struct flow *f = flow_of(q->d, kind, q->p->dir);
	const struct flow_sent *s = f ? dossier_sent(q->d, f->id) : NULL;
	if (!s || !s->refused_local || s->unresolved)
		return false;
	return s->error == EINVAL || s->error == EACCES || s->error == EPERM;
}

static const struct route *way_out(const struct inquiry *q, int family)
{
	const struct snapshot *s = party_facts(q->d, q->src);
	struct ip src = party_prefix(q->d, q->src, family).ip, dst = party_prefix(q->d, q->dst, family).ip;
	return s && src.family && dst.family ? snapshot_route(s, dst, src) : NULL;
}

static kind_mask sent_of(const struct inquiry *q, int family)
{
	return q->p->probes & kinds_of_family(family) & ~kinds_of_proto(PROTO_NEIGH);
}

kind_mask refused_by_route(const struct inquiry *q)
{
	kind_mask m = 0;
	for (int family = 4; q->p->placed && !q->p->after && family <= 6; family += 2) {
		const struct route *r = way_out(q, family);
		bool refuses = r && (r->type == ROUTE_BLACKHOLE || r->type == ROUTE_UNREACHABLE || r->type == ROUTE_PROHIBIT);
		m |= refuses ? sent_of(q, family) : 0;
	}
	return m;
}

static bool is_of_network_at(const struct snapshot *s, uint32_t link, struct ip ip)
{
	for (size_t i = 0; i < s->addr_count; i++) {
		if (s->addrs[i].link == link && prefix_contains(s->addrs[i].prefix, ip))
			return true;
	}
	return false;
}

/* By its facts its way to the other end leaves by another interface, and asks for the other end there. Two private networks may
 * have the same numbers. */
static kind_mask led_elsewhere(const struct inquiry *q)
{
	const struct link *l = party_link(q->d, q->src);
	kind_mask m = 0;
	for (int family = 4; l && family <= 6; family += 2) {
		const struct route *r = way_out(q, family);
		if (!r || r->type != ROUTE_UNICAST || r->link == l->index || r->gateway.family)
			continue;
		bool alike =
		    !q->d->onlink && is_of_network_at(party_facts(q->d, q->src), r->link, party_prefix(q->d, q->dst, family).ip);
		m |= alike ? 0 : sent_of(q, family);
	}
	return m;
}

kind_mask stopped_at_home(const struct inquiry *q)
{
	if (!q->p->placed || q->p->after > 0)
		return 0;
	kind_mask m = refused_by_route(q) | led_elsewhere(q);
	for (int k = 0; k < KIND_COUNT; k++)
		m |= q->p->probes & KIND_BIT(k) && refused_at_home(q, k) ? KIND_BIT(k) : 0;
	for (size_t i = 0; i < q->hits->count; i++) {
		const struct hit *h = &q->hits->item[i];
		m |= h->party == q->src && h->layer == HIT_IP && h->sure && !h->foreseen ? KIND_BIT(h->kind) : 0;
	}
	return m;
}

static void in_end_stack(const struct inquiry *q, struct finding *f)
{
	struct inquiry at = *q;
	at.who = q->src;
	in_own_stack(&at, f);
	if (f->is == TRI_YES)
		return;
	at.who = q->dst;
	in_own_stack(&at, f);
}

/* ---- on the way ---- */

typedef bool step_fn(const struct inquiry *q, size_t i); /* the step from point i to the next */

static bool any_step(const struct inquiry *q, step_fn *is)
{
	for (size_t i = q->p->after; q->p->placed && i < q->p->before; i++) {
		if (is(q, i))
			return true;
	}
	return false;
}

static bool step_inside(const struct inquiry *q, size_t i) { return owner(q, i) == q->who && owner(q, i + 1) == q->who; }

static bool step_touches(const struct inquiry *q, size_t i, uint8_t what)
{
	return (owner(q, i) == q->who && role(q, i) == what) || (owner(q, i + 1) == q->who && role(q, i + 1) == what);
}

/* Of what a host routes to a guest nothing is seen at the bridge while nobody answers at the port behind it. */
static bool step_to_port(const struct inquiry *q, size_t i)
{
	return i + 2 < q->v->dir[q->p->dir].path_count && role(q, i + 1) == POINT_BRIDGE && role(q, i + 2) == POINT_PORT &&
	       owner(q, i + 1) == q->who && owner(q, i + 2) == q->who;
}

static bool step_at_port(const struct inquiry *q, size_t i) { return step_touches(q, i, POINT_PORT) || step_to_port(q, i); }
static bool step_at_uplink(const struct inquiry *q, size_t i) { return step_touches(q, i, POINT_UPLINK); }

static bool step_crosses(const struct inquiry *q, size_t i)
{
	return step_inside(q, i) && role(q, i) != POINT_SOCKET && role(q, i + 1) != POINT_SOCKET;
}

static bool is_host_point(const struct inquiry *q, size_t i) { return q->v->dir[q->p->dir].path[i].agent_kind == AGENT_HOST; }

static bool step_between_hosts(const struct inquiry *q, size_t i)
{
	return owner(q, i) != owner(q, i + 1) && is_host_point(q, i) && is_host_point(q, i + 1);
}

/* The cable of a guest's NIC: from its socket to its NIC, from its NIC to its port, and the port's other side. */
static bool step_at_cable(const struct inquiry *q, size_t i)
{
	bool out = q->who == q->src, in = q->who == q->dst;
	size_t last = last_point(q);
	return (out && (i == 0 || i == 1)) || (in && i + 3 >= last && i + 1 < last);
}

static void on_the_way(const struct inquiry *q, struct finding *f, step_fn *is, const char *where)
{
	char kinds[TEXT], after[POINT_NAME_MAX], before[POINT_NAME_MAX];
	if (!q->p->placed)
		return;
	if (!any_step(q, is)) {
		find_no(f, "it is not lost %s of %s, but between %s and %s", where, name_of(q, q->who),
		        point(q, q->p->after, after), point(q, q->p->before, before));
		return;
	}
	find_yes(f, dying(q), "%s (%s) are last seen at %s and do not reach %s", what_dies(q),
	         kinds_text(dying(q), kinds, sizeof kinds), point(q, q->p->after, after), point(q, q->p->before, before));
}

static void lost_in_host(const struct inquiry *q, struct finding *f) { on_the_way(q, f, step_inside, "inside"); }
static void lost_crossing(const struct inquiry *q, struct finding *f) { on_the_way(q, f, step_crosses, "between two ports"); }
static void lost_at_port(const struct inquiry *q, struct finding *f) { on_the_way(q, f, step_at_port, "at a guest's port"); }
static void lost_at_uplink(const struct inquiry *q, struct finding *f) { on_the_way(q, f, step_at_uplink, "at the uplink"); }
static void lost_between_hosts(const struct inquiry *q, struct finding *f)
{
	on_the_way(q, f, step_between_hosts, "behind the uplink");
}

static void lost_at_cable(const struct inquiry *q, struct finding *f)
{
	if (q->d->party[q->who].kind == AGENT_GUEST)
		on_the_way(q, f, step_at_cable, "at the virtual cable");
	f->kinds &= ~stopped_at_home(q);
	if (f->is == TRI_YES && !(f->kinds & dying(q)))
		find_no(f, "%s itself stops what it sends", name_of(q, q->src));
}

/* ---- what dies ---- */

static kind_mask kinds_ok(const struct inquiry *q, kind_mask among)
{
	kind_mask m = 0;
	for (int k = 0; k < KIND_COUNT; k++) {
		if (among & KIND_BIT(k) && q->v->dir[q->p->dir].delivery[k] == CELL_OK)
			m |= KIND_BIT(k);
	}
	return m;
}

static kind_mask kinds_lost(const struct inquiry *q, kind_mask among)
{
	kind_mask m = 0;
	for (int k = 0; k < KIND_COUNT; k++) {
		if (among & KIND_BIT(k) && cell_is_bad(q->v->dir[q->p->dir].delivery[k]))
			m |= KIND_BIT(k);
	}
	return m;
}

static kind_mask families_dying(const struct inquiry *q)
{
	kind_mask v4 = kinds_of_family(4), v6 = kinds_of_family(6);
	return (dying(q) & v4 ? v4 : 0) | (dying(q) & v6 ? v6 : 0);
}

/* Answers of that kind get through: whatever its questions die of, it is not here. */
static kind_mask kinds_answered(const struct inquiry *q, kind_mask among)
{
	kind_mask m = 0;
	for (int k = 0; k < KIND_COUNT; k++) {
		if (among & KIND_BIT(k) && q->v->dir[1 - q->p->dir].initiation[k] == CELL_OK)
			m |= KIND_BIT(k);
	}
	return m;
}

/* What is lost before it comes here, or whose answers pass here, and what would die here all the same by the rule that is read. */
static kind_mask kinds_foreseen(const struct inquiry *q)
{
	kind_mask m = 0;
	for (size_t i = 0; i < q->hits->count; i++)
		m |= q->hits->item[i].foreseen && !q->hits->item[i].answer ? KIND_BIT(q->hits->item[i].kind) : 0;
	return m;
}

/* Died before they came here, where a rule is read that stops what dies here. */
static kind_mask kinds_before(const struct inquiry *q)
{
	kind_mask before = 0, stopped = 0;
	for (size_t i = 0; q->p->placed && i < q->v->dir[q->p->dir].cut_count; i++) {
		const struct cut *c = &q->v->dir[q->p->dir].cuts[i];
		before |= c->before <= q->p->after ? c->kinds & ~c->answers : 0;
	}
	for (size_t i = 0; i < q->hits->count; i++)
		stopped |= q->hits->item[i].sure && !q->hits->item[i].foreseen ? KIND_BIT(q->hits->item[i].kind) : 0;
	return dying(q) & ~stopped ? 0 : before;
}

static void only_icmp(const struct inquiry *q, struct finding *f)
{
	char ok[TEXT];
	kind_mask icmp = kinds_of_proto(PROTO_ICMP), other = families_dying(q) & ~(icmp | kinds_of_proto(PROTO_NEIGH));
	kind_mask past = q->p->explained | kinds_before(q) | (q->p->placed ? kinds_answered(q, other) : 0);
	kind_mask elsewhere = past & other & ~kinds_foreseen(q);
	kind_mask through = kinds_ok(q, other) | elsewhere;
	if (dying(q) & other) {
		find_no(f, "not only ICMP is lost, but %s too", kinds_text(dying(q) & other, ok, sizeof ok));
		return;
	}
	if (!(dying(q) & icmp) || kinds_lost(q, other & ~elsewhere) || !through) {
		find_unknown(f, "nothing but ICMP was measured on this way");
		return;
	}
	if (!kinds_ok(q, other)) {
		find_yes(f, dying(q), "only ICMP is lost to this: %s are lost to something else",
		         kinds_text(through, ok, sizeof ok));
		return;
	}
	find_yes(f, dying(q), "only ICMP is lost: %s pass", kinds_text(through, ok, sizeof ok));
}

static void only_large(const struct inquiry *q, struct finding *f)
{
	char text[TEXT];
	kind_mask small = dying(q) & ~kinds_large();
	if (small) {
		find_no(f, "small packets are lost too (%s)", kinds_text(small, text, sizeof text));
		return;
	}
	if (!(dying(q) & ~kinds_fragments())) {
		find_no(f, "only fragments are lost: packets as large as the interface carries pass");
		return;
	}
	kind_mask as_large = kinds_ok(q, families_dying(q) & kinds_large() & ~kinds_fragments() & ~dying(q));
	if (q->p->partial || as_large) {
		find_no(f, "others as large pass: it is not their size");
		return;
	}
	find_yes(f, dying(q), "only large packets are lost (%s)", kinds_text(dying(q), text, sizeof text));
}

static void only_answers(const struct inquiry *q, struct finding *f)
{
	char text[TEXT];
	if (!q->p->answers || q->p->probes) {
		find_no(f, "new packets are lost as well as answers");
		return;
	}
	find_yes(f, q->p->answers, "only answers are lost (%s); new packets the same way pass",
	         kinds_text(q->p->answers, text, sizeof text));
}

static void neighbour_ok(const struct inquiry *q, struct finding *f)
{
	const struct direction *d = &q->v->dir[q->p->dir];
	bool arp = dying(q) & kinds_of_family(4) && d->delivery[KIND_ARP] == CELL_OK;
	bool nd = dying(q) & kinds_of_family(6) && d->delivery[KIND_ND] == CELL_OK;
	if (!arp && !nd) {
		find_no(f, "ARP or neighbour discovery does not pass either");
		return;
	}
	find_yes(f, ~0u, "%s passes the same way", arp && nd ? "ARP and neighbour discovery" : arp ? "ARP" : "neighbour discovery");
}

static const struct evidence items[] = {
    {"is-guest", is_guest, "the agent's kind", "the machine is a guest"},
    {"is-host", is_host, "the agent's kind", "the machine is a host"},
    {"lost-leaving", lost_leaving, "cut", "what the machine sends never reaches its own interface"},
    {"lost-arriving", lost_arriving, "cut", "what comes for the machine reaches its interface and not its socket"},
    {"not-answered", not_answered, "cut, matrix", "the machine receives requests and no answer leaves it"},
    {"in-own-stack", in_own_stack, "cut, matrix", "it is lost, or left unanswered, inside this end of the pair"},
    {"cannot-send", cannot_send, "cut, matrix, sysctl",
     "what this end sends or answers is lost inside it, or it drops what it has no way back for"},
    {"in-end-stack", in_end_stack, "cut, matrix", "it is lost, or left unanswered, inside one of the two ends"},
    {"lost-in-host", lost_in_host, "cut", "it is lost inside this machine, between two of its points"},
    {"lost-crossing", lost_crossing, "cut", "it is lost inside this machine, between two of its interfaces"},
    {"lost-at-port", lost_at_port, "cut", "it is lost right at the port a guest is plugged into"},
    {"lost-at-uplink", lost_at_uplink, "cut", "it is lost right at the uplink of this host"},
    {"lost-between-hosts", lost_between_hosts, "cut", "it leaves one host and does not reach the other"},
    {"lost-at-cable", lost_at_cable, "cut", "it is lost between the guest's stack and the host's side of its port"},
    {"only-icmp", only_icmp, "cut, matrix", "ICMP is lost while UDP or TCP pass"},
    {"only-large", only_large, "cut", "only large packets are lost"},
    {"only-answers", only_answers, "cut", "only answers are lost, new packets pass"},
    {"neighbour-ok", neighbour_ok, "matrix", "ARP or neighbour discovery passes the same way"},
};
const struct evidence_table evidence_place = {items, sizeof items / sizeof *items};
