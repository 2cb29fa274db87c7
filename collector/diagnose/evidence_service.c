/* evidence_service: programs that cannot keep up, agents that only the collector does not hear, encryption that one side demands.
 */
#include "collector/diagnose/inquiry.h"
#include "collector/dropped.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define SERVICES (KIND_BIT(KIND_SERVICE) | KIND_BIT(KIND_SERVICE6))

/* ---- a queue of connections that nobody accepts ---- */

static bool counter_grew(const struct party *p, const char *name, int64_t *by)
{
	int64_t was, now;
	if (!p->before || !p->after || !snapshot_counter(p->before, name, &was) || !snapshot_counter(p->after, name, &now))
		return false;
	*by = now - was;
	return now > was;
}

static const struct listener *full_listener(const struct snapshot *s, uint16_t port)
{
	for (size_t i = 0; s && i < s->listener_count; i++) {
		const struct listener *l = &s->listeners[i];
		if (l->proto == IPPROTO_TCP && l->port == port && l->queued > 0 && l->queued >= l->backlog)
			return l;
	}
	return NULL;
}

static uint16_t failing_service(const struct inquiry *q)
{
	for (size_t i = 0; i < q->d->flow_count; i++) {
		const struct flow *f = &q->d->flows[i];
		const struct flow_sent *s = dossier_sent(q->d, f->id);
		if (SERVICES & KIND_BIT(f->kind) && dir_dst(f->dir) == q->who && s && s->sent & ~(s->answered | s->refused))
			return f->dport;
	}
	return 0;
}

static void accept_queue_full(const struct inquiry *q, struct finding *f)
{
	const struct party *p = &q->d->party[q->who];
	uint16_t port = failing_service(q);
	const struct listener *l = port ? full_listener(party_facts(q->d, q->who), port) : NULL;
	int64_t by = 0;
	bool counted = counter_grew(p, "TcpExt.ListenOverflows", &by);
	if (!l) {
		find_no(f, "no program on %s has a full queue of connections", name_of(q, q->who));
		return;
	}
	bindings_add(q->learned, "service.port", "%u", port);
	bindings_add(q->learned, "component", "TCP port %u", port);
	find_yes(f, SERVICES, "the queue of TCP port %u on %s holds %u of %u connections that its program does not accept%s", port,
	         name_of(q, q->who), l->queued, l->backlog, counted ? ", and it overflowed meanwhile" : "");
}

static void only_service_fails(const struct inquiry *q, struct finding *f)
{
	kind_mask tcp = (dying(q) & KIND_BIT(KIND_SERVICE) ? KIND_BIT(KIND_TCP) : 0) |
	                (dying(q) & KIND_BIT(KIND_SERVICE6) ? KIND_BIT(KIND_TCP6) : 0);
	int dir = q->who == PARTY_B ? 0 : 1;
	for (int k = 0; k < KIND_COUNT; k++) {
		if (tcp & KIND_BIT(k) && q->v->dir[dir].initiation[k] == CELL_OK)
			tcp &= ~KIND_BIT(k);
	}
	if (dying(q) & SERVICES && !(dying(q) & ~SERVICES) && !tcp)
		find_yes(f, SERVICES, "connections to the service of %s fail, to another port they do not", name_of(q, q->who));
	else
		find_no(f, "it is not a service alone that fails");
}

/* ---- a socket that its program does not read fast enough ---- */

static void socket_overflows(const struct inquiry *q, struct finding *f)
{
	static const char *const names[] = {"Udp.RcvbufErrors", "Udp6.RcvbufErrors"};
	const struct party *p = &q->d->party[q->who];
	int64_t by = 0;
	for (size_t i = 0; i < COUNT(names); i++) {
		if (!counter_grew(p, names[i], &by))
			continue;
		find_yes(f, kinds_of_proto(PROTO_UDP),
		         "%s lost %lld datagrams meanwhile for want of room in the receiver's buffer (%s)", name_of(q, q->who),
		         (long long)by, names[i]);
		return;
	}
	find_no(f, "no receive buffer of %s overflowed", name_of(q, q->who));
}

/* ---- encryption ---- */

struct policy {
	char way[8];
	struct prefix src, dst;
	const char *action; /* "block", "esp transport" ... */
};

/* "xfrm.policy.in 10.0.0.1/32 10.0.0.2/32" */
static bool policy_read(const struct text *t, struct policy *p)
{
	char src[64], dst[64];
	if (sscanf(t->name, "xfrm.policy.%7s %63s %63s", p->way, src, dst) != 3)
		return false;
	p->action = t->text;
	return prefix_parse(src, &p->src) == 0 && prefix_parse(dst, &p->dst) == 0;
}

static bool policy_covers(const struct policy *p, const char *way, struct ip src, struct ip dst)
{
	bool s = p->src.ip.family == src.family && prefix_contains(p->src, src);
	return strcmp(p->way, way) == 0 && s && p->dst.ip.family == dst.family && prefix_contains(p->dst, dst);
}

static bool policy_of(const struct snapshot *s, const char *way, struct ip src, struct ip dst, struct policy *out)
{
	for (size_t i = 0; s && i < s->text_count; i++) {
		if (policy_read(&s->texts[i], out) && policy_covers(out, way, src, dst))
			return true;
	}
	return false;
}

static bool state_of(const struct snapshot *s, struct ip src, struct ip dst)
{
	char name[96], a[IP_TEXT_MAX], b[IP_TEXT_MAX];
	snprintf(name, sizeof name, "xfrm.state %s %s", ip_format(src, a), ip_format(dst, b));
	return s && snapshot_text(s, name);
}

/* Demanded here, and not done there: blocked, nobody encrypts it, or there is no key for it. */
static bool demands_alone(const struct inquiry *q, const struct snapshot *s, struct ip src, struct ip dst, struct policy *p)
{
	struct policy other;
	bool receives = q->who == q->dst;
	if (!policy_of(s, receives ? "in" : "out", src, dst, p))
		return false;
	if (strcmp(p->action, "block") == 0 || !state_of(s, src, dst))
		return true;
	const struct snapshot *peer = party_facts(q->d, other_end(q));
	return peer && !policy_of(peer, receives ? "out" : "in", src, dst, &other);
}

static void policy_bind(const struct inquiry *q, const struct policy *p)
{
	char src[PREFIX_TEXT_MAX], dst[PREFIX_TEXT_MAX];
	bindings_add(q->learned, "policy", "src %s dst %s dir %s", prefix_format(p->src, src), prefix_format(p->dst, dst), p->way);
	bindings_add(q->learned, "component", "xfrm policy %s %s %s", p->way, src, dst);
}

static void encryption_alone(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = q->who == q->src || q->who == q->dst ? party_facts(q->d, q->who) : NULL;
	for (int family = 4; s && family <= 6; family += 2) {
		struct ip src = party_prefix(q->d, q->src, family).ip, dst = party_prefix(q->d, q->dst, family).ip;
		struct policy p;
		if (!(dying(q) & kinds_of_family(family)) || !src.family || !dst.family || !demands_alone(q, s, src, dst, &p))
			continue;
		policy_bind(q, &p);
		find_yes(f, (kinds_of_family(family) & ~kinds_of_proto(PROTO_NEIGH)) | (f->is == TRI_YES ? f->kinds : 0),
		         "a policy of %s (dir %s) %s", name_of(q, q->who), p.way,
		         strcmp(p.action, "block") == 0 ? "blocks it" : "demands encryption that the two have not agreed on");
	}
	if (f->is != TRI_YES)
		find_no(f, "%s demands no encryption of it", name_of(q, q->who));
}

/* ---- what is wrong with the measurement, not with the network ---- */

static void clock_apart(const struct inquiry *q, struct finding *f)
{
	const struct party *p = &q->d->party[q->who];
	int64_t apart = dossier_clock_apart_ms(q->d, q->who), step = p->result ? p->result->health.clock_step_us / 1000 : 0;
	if (!p->after)
		find_unknown(f, "%s did not say what time it is there", name_of(q, q->who));
	else if (apart || step > CLOCK_APART_MS || step < -CLOCK_APART_MS)
		find_yes(f, ~0u, "the clock of %s is %lld s apart from the collector's", name_of(q, q->who),
		         (long long)(apart ? apart : step) / 1000);
	else
		find_no(f, "the clock of %s agrees with the collector's", name_of(q, q->who));
}

/* Some of the same flow were refused and others met silence. */
static void refused_in_part(const struct inquiry *q, struct finding *f)
{
	kind_mask kinds = 0;
	for (size_t i = 0; i < q->d->flow_count; i++) {
		const struct flow *w = &q->d->flows[i];
		const struct flow_sent *s = dossier_sent(q->d, w->id);
		if (s && dir_dst(w->dir) == q->who && s->refused && s->icmp_from.family &&
		    s->sent & ~(s->refused | s->answered | s->late))
			kinds |= KIND_BIT(w->kind);
	}
	if (kinds)
		find_yes(f, kinds, "%s refuses some and leaves others of the same sort without a word", name_of(q, q->who));
	else
		find_no(f, "%s treats all of them alike", name_of(q, q->who));
}

static void observer_blind(const struct inquiry *q, struct finding *f)
{
	const struct party *p = &q->d->party[q->who];
	if ((q->who == q->src || q->who == q->dst) && p->reported && !(p->rights & RIGHT_RAW))
		find_yes(f, kinds_of_proto(PROTO_ICMP) | kinds_of_proto(PROTO_TCP) | kinds_of_proto(PROTO_NEIGH),
		         "the agent of %s may not open the sockets that would see this", name_of(q, q->who));
	else
		find_no(f, "the agent of %s sees what there is to see", name_of(q, q->who));
}

/* ---- programs below every filter ---- */

static void program_bind(const struct inquiry *q, const struct flow_drop *d)
{
	const char *dev = d->ifname[0] ? d->ifname : party_if(q->d, q->who);
	if (strcmp(d->reason, "XDP") == 0 || strstr(d->place, "xdp")) {
		bindings_add(q->learned, "xdp.if", "%s", dev);
	} else if (strncmp(d->reason, "TC_", 3) == 0) {
		bindings_add(q->learned, "tc.if", "%s", dev);
		bindings_add(q->learned, "tc.way", "%s", strcmp(d->reason, "TC_EGRESS") == 0 ? "egress" : "ingress");
	}
	bindings_add(q->learned, "component", "%s", dev);
}

static void program_drops(const struct inquiry *q, struct finding *f)
{
	const struct round_result *r = q->d->party[q->who].result;
	kind_mask kinds = 0;
	const struct flow_drop *first = NULL;
	for (size_t i = 0; r && i < r->drops_count; i++) {
		const struct flow_drop *d = &r->drops[i];
		int kind = problem_row_kind(q->d, q->p, d->flow, d->part, d->seqs);
		if (kind < 0 || dropped_class(d->reason, d->place) != DROP_BY_PROGRAM)
			continue;
		kinds |= KIND_BIT(kind);
		first = first ? first : d;
		program_bind(q, d);
	}
	if (first)
		find_yes(f, kinds, "a program at %s:%s dropped it (%s), and no firewall rule", name_of(q, q->who), first->ifname,
		         strstr(first->place, "xdp") ? first->place : first->reason);
	else
		find_no(f, "no program at an interface of %s dropped it", name_of(q, q->who));
}

static const struct evidence items[] = {
    {"clock-apart", clock_apart, "wall clocks", "the machine's clock is far apart from the collector's"},
    {"refused-in-part", refused_in_part, "ICMP errors", "some packets of one sort are refused, others of it meet silence"},
    {"observer-blind", observer_blind, "rights", "the machine's agent may not see what it should measure"},
    {"program-drops", program_drops, "drop reasons", "a program attached to the machine's interface dropped it"},
    {"accept-queue-full", accept_queue_full, "listening sockets, counters",
     "the program of the service does not accept connections, and their queue is full"},
    {"only-service-fails", only_service_fails, "matrix", "only connections to the service fail, to other ports they do not"},
    {"socket-overflows", socket_overflows, "counters", "a receive buffer of the machine overflowed while the round ran"},
    {"encryption-alone", encryption_alone, "xfrm policies and states",
     "the machine demands encryption of these packets, and its peer does not do it"},
};
const struct evidence_table evidence_service = {items, COUNT(items)};
