/* evidence_agent: services that do not listen, and agents that are not heard. */
#include "collector/diagnose/inquiry.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define SERVICES (KIND_BIT(KIND_SERVICE) | KIND_BIT(KIND_SERVICE6))

/* ---- services ---- */

/* The port that was refused, of the service flows towards `who`. */
static const struct flow *refused_service(const struct inquiry *q)
{
	int dir = q->who == PARTY_B ? 0 : 1;
	for (size_t i = 0; i < q->d->flow_count; i++) {
		const struct flow *f = &q->d->flows[i];
		const struct flow_sent *s = dossier_sent(q->d, f->id);
		if (SERVICES & KIND_BIT(f->kind) && f->dir == dir && s && s->refused)
			return f;
	}
	return NULL;
}

static void service_refused(const struct inquiry *q, struct finding *f)
{
	const struct flow *flow = q->who == q->dst && q->p->starts & SERVICES ? refused_service(q) : NULL;
	if (!flow) {
		find_no(f, "no service of %s refused a connection", name_of(q, q->who));
		return;
	}
	bindings_add(q->learned, "service.port", "%u", flow->dport);
	bindings_add(q->learned, "component", "TCP port %u", flow->dport);
	find_yes(f, SERVICES, "%s refuses connections to TCP port %u at once", name_of(q, q->who), flow->dport);
}

static bool is_any(struct ip a)
{
	static const uint8_t zero[16];
	return memcmp(a.b, zero, a.family == 4 ? 4 : 16) == 0;
}

static bool serves(const struct listener *l, const struct flow *f)
{
	if (l->proto != IPPROTO_TCP || l->port != f->dport)
		return false;
	if (is_any(l->ip))
		return l->ip.family == f->dst.family || (l->ip.family == 6 && !l->v6only);
	return ip_equal(l->ip, f->dst);
}

static const struct listener *listener_on(const struct snapshot *s, const struct flow *f, bool serving)
{
	for (size_t i = 0; i < s->listener_count; i++) {
		const struct listener *l = &s->listeners[i];
		if (l->proto == IPPROTO_TCP && l->port == f->dport && serves(l, f) == serving)
			return l;
	}
	return NULL;
}

/* What is needed to say anything about listeners; says why not. */
static const struct flow *listeners_known(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	const struct flow *flow = refused_service(q);
	if (!s || s->listener_count == 0)
		find_unknown(f, "%s did not say what it listens on", name_of(q, q->who));
	return s && s->listener_count ? flow : NULL;
}

static void start_bind(const struct inquiry *q, uint16_t port)
{
	const struct party *p = &q->d->party[q->who];
	for (size_t i = 0; i < p->service_count && i < SERVICES_MAX; i++) {
		if (p->services[i].port == port && p->services[i].start[0])
			bindings_add(q->learned, "service.start", "%s", p->services[i].start);
	}
}

static void no_listener(const struct inquiry *q, struct finding *f)
{
	const struct flow *flow = listeners_known(q, f);
	if (!flow)
		return;
	const struct snapshot *s = party_facts(q->d, q->who);
	if (listener_on(s, flow, true)) {
		find_no(f, "something listens on TCP port %u of %s", flow->dport, name_of(q, q->who));
	} else if (listener_on(s, flow, false)) {
		find_no(f, "something listens on TCP port %u of %s, on another address", flow->dport, name_of(q, q->who));
	} else {
		start_bind(q, flow->dport);
		find_yes(f, SERVICES, "nothing listens on TCP port %u of %s", flow->dport, name_of(q, q->who));
	}
}

static void listens_elsewhere(const struct inquiry *q, struct finding *f)
{
	const struct flow *flow = listeners_known(q, f);
	char has[IP_TEXT_MAX], want[IP_TEXT_MAX];
	if (!flow)
		return;
	const struct snapshot *s = party_facts(q->d, q->who);
	const struct listener *l = listener_on(s, flow, true) ? NULL : listener_on(s, flow, false);
	if (l)
		find_yes(f, SERVICES, "on %s TCP port %u listens on %s only, not on %s", name_of(q, q->who), flow->dport,
		         ip_format(l->ip, has), ip_format(flow->dst, want));
	else
		find_no(f, "nothing on %s listens on this port on another address", name_of(q, q->who));
}

static void listened_before(const struct inquiry *q, struct finding *f)
{
	const struct flow *flow = refused_service(q);
	const struct party *p = &q->d->party[q->who];
	char tail[16];
	snprintf(tail, sizeof tail, ".%u", flow ? flow->dport : 0);
	for (size_t i = p->change_count; flow && i-- > 0;) {
		const char *key = p->changes[i].key;
		size_t len = strlen(key), end = strlen(tail);
		if (strncmp(key, "listen.tcp.", 11) || len < end || strcmp(key + len - end, tail) || !p->changes[i].was ||
		    p->changes[i].now)
			continue;
		bindings_add(q->learned, "listened", "%.*s", (int)(len - end - 11), key + 11);
		find_yes(f, ~0u, "something listened there until lately (%s)", key + 11);
		return;
	}
	find_unknown(f, "nothing is known to have listened there before");
}

/* ---- agents ---- */

/* The host through which alone that end is heard, when that host is silent itself; -1 = none. */
static int silent_relay(const struct inquiry *q, int end)
{
	int host = q->d->party[end].relayed ? dossier_host(q->d, end) : -1;
	return host >= 0 && host != end && !q->d->party[host].online ? host : -1;
}

int inquiry_unheard(const struct inquiry *q)
{
	int end = q->p->unheard, relay = end >= 0 ? silent_relay(q, end) : -1;
	return relay >= 0 ? relay : end;
}

static kind_mask answered_by(const struct inquiry *q, bool refused)
{
	kind_mask m = 0;
	int dir = q->p->unheard == PARTY_B ? 0 : 1;
	for (size_t i = 0; i < q->d->flow_count; i++) {
		const struct flow_sent *s = q->d->flows[i].dir == dir ? dossier_sent(q->d, q->d->flows[i].id) : NULL;
		if (s && (refused ? s->refused : s->answered & ~s->impostor))
			m |= KIND_BIT(q->d->flows[i].kind);
	}
	return m;
}

/* A guest's agent whose relay is silent may well run: what its probe port does tells nothing of the relay. */
static bool relay_is_blamed(const struct inquiry *q) { return inquiry_unheard(q) != q->p->unheard; }

/* A kernel without that socket says so of datagrams. Connections alone prove nothing: an agent that runs and was not told of the
 * round resets those that it knows nothing of. */
static kind_mask port_refused(const struct inquiry *q)
{
	kind_mask refused = relay_is_blamed(q) ? 0 : answered_by(q, true) & ~SERVICES;
	return refused & kinds_of_proto(PROTO_UDP) ? refused & (kinds_of_proto(PROTO_UDP) | kinds_of_proto(PROTO_TCP)) : 0;
}

/* Its port stays open for as long as it runs, be it ever so slow; and where that cannot be seen, time tells. */
static bool may_be_slow(const struct inquiry *q)
{
	const struct party *p = &q->d->party[q->who];
	return (p->online && p->heard) || (p->lately && !port_refused(q));
}

static void unheard(const struct inquiry *q, struct finding *f)
{
	const struct party *p = &q->d->party[q->who];
	int end = q->p->unheard, blamed = inquiry_unheard(q);
	if (blamed != q->who) {
		if (end == q->who)
			find_no(f, "%s is heard through %s only, whose agent is not heard", name_of(q, end), name_of(q, blamed));
		else
			find_no(f, "the agent of %s reports", name_of(q, q->who));
		return;
	}
	if (may_be_slow(q)) {
		find_no(f, "the agent of %s %s too slow to take part in the round", name_of(q, q->who),
		        p->online && p->heard ? "is heard, only" : "was heard a few seconds ago, and is perhaps");
		return;
	}
	if (p->restart[0])
		bindings_add(q->learned, "restart", "%s", p->restart);
	if (end != q->who)
		find_yes(f, ~0u, "the agent of %s, through which alone %s is heard, is not heard by any path", name_of(q, q->who),
		         name_of(q, end));
	else
		find_yes(f, ~0u, "the agent of %s %s", name_of(q, q->who),
		         p->online ? "does not take part in the round" : "is not heard by any path");
}

static void kernel_answers(const struct inquiry *q, struct finding *f)
{
	char text[128];
	kind_mask kernel = answered_by(q, false) & (kinds_of_proto(PROTO_ICMP) | kinds_of_proto(PROTO_NEIGH));
	if (kernel)
		find_yes(f, ~0u, "the machine itself answers (%s): its network is well", kinds_text(kernel, text, sizeof text));
	else
		find_no(f, "the machine does not answer either");
}

static void agent_answers(const struct inquiry *q, struct finding *f)
{
	if (relay_is_blamed(q))
		find_no(f, "it was not asked");
	else if (answered_by(q, false) & kinds_of_proto(PROTO_UDP))
		find_yes(f, ~0u, "its agent answers probes: it runs, and only its reports do not arrive");
	else
		find_no(f, "its agent answers no probe");
}

static void agent_refused(const struct inquiry *q, struct finding *f)
{
	kind_mask agent = port_refused(q);
	char text[128];
	if (agent)
		find_yes(f, ~0u, "the agent's probe port is closed (%s refused)", kinds_text(agent, text, sizeof text));
	else
		find_unknown(f, "nothing says whether the agent's probe port is open");
}

/* Do other pairs of the watch, in which it needs nobody, still get its answers? */
static enum tri answers_others(const struct inquiry *q)
{
	bool asked = false;
	for (size_t i = 0; i < q->d->witness_count; i++) {
		const struct witness *w = &q->d->witnesses[i];
		if (w->to != q->who)
			continue;
		if (w->initiation[KIND_UDP] == CELL_OK || w->initiation[KIND_UDP6] == CELL_OK)
			return TRI_YES;
		asked |= cell_is_bad(w->initiation[KIND_UDP]) || cell_is_bad(w->initiation[KIND_UDP6]);
	}
	return asked ? TRI_NO : TRI_UNKNOWN;
}

/* A kernel without that socket refuses connections at once. An agent that runs, and was not told of this round, takes them and
 * resets those it does not know. */
static void agent_resets(const struct inquiry *q, struct finding *f)
{
	seqset taken = 0;
	for (size_t i = 0; i < q->d->flow_count && !relay_is_blamed(q); i++) {
		const struct flow *flow = &q->d->flows[i];
		const struct flow_sent *s = dir_dst(flow->dir) == q->who ? dossier_sent(q->d, flow->id) : NULL;
		taken |= s && !(SERVICES & KIND_BIT(flow->kind)) ? s->taken : 0;
	}
	if (inquiry_unheard(q) == q->who && taken)
		find_yes(f, ~0u, "the agent of %s takes connections, and resets those that it was not told of: it runs",
		         name_of(q, q->who));
	else
		find_no(f, "no connection to the agent of %s was taken", name_of(q, q->who));
}

static void agent_alive(const struct inquiry *q, struct finding *f)
{
	agent_resets(q, f);
	if (f->is == TRI_YES)
		return;
	if (inquiry_unheard(q) != q->who || answers_others(q) != TRI_YES)
		find_no(f, "nothing shows that the agent of %s runs", name_of(q, q->who));
	else if (relay_is_blamed(q) || !port_refused(q))
		find_yes(f, ~0u, "the agent of %s answers the probes of others: it runs", name_of(q, q->who));
	else
		find_no(f, "the probe port of %s is closed", name_of(q, q->who));
}

static const struct evidence items[] = {
    {"agent-alive", agent_alive, "UDP and TCP probes, the watch of others",
     "the machine's agent runs, although the collector does not hear it"},
    {"service-refused", service_refused, "TCP to the service's port", "the service's port refuses connections"},
    {"no-listener", no_listener, "listening sockets", "nothing listens on that port"},
    {"listens-elsewhere", listens_elsewhere, "listening sockets", "something listens on that port, on another address only"},
    {"listened-before", listened_before, "history of listening sockets", "something listened there before"},
    {"agent-unheard", unheard, "control plane", "the machine's agent is not heard"},
    {"kernel-answers", kernel_answers, "ARP, neighbour discovery and echo", "the machine's kernel answers"},
    {"agent-answers", agent_answers, "UDP probes", "the machine's agent answers probes"},
    {"agent-refused", agent_refused, "UDP and TCP probes", "the agent's probe port is closed"},
};
const struct evidence_table evidence_agent = {items, COUNT(items)};
