/* filter: which firewall rules stand on the stretch of path where a problem's packets die, and stop them.
 *
 * A capture on an interface stands before what filters on its way in and behind what filters on its way out; so every step
 * between two neighbouring points of one machine has its own list of hooks. */
#include "collector/diagnose/inquiry.h"
#include "collector/dropped.h"

#include "proto/base/mem.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ETH_IP4       0x0800
#define ETH_IP6       0x86dd
#define ETH_ARP       0x0806
#define TCP_SYN       0x02
#define TCP_ACK       0x10
#define ND_SOLICIT    135
#define ND_ADVERT     136
#define SMALL_MAX     300 /* no small probe is longer */
#define DECISIONS_MAX 16
#define DEPTH_MAX     8 /* of chains that call each other */

struct search {
	const struct dossier *d;
	const struct verdict *v;
	const struct problem *p;
	struct hits *out;
	int party;
	const struct snapshot *s;
	int asked; /* see struct hit */
	bool foreseen;
};

/* ---- packets ---- */

static struct ip solicited_node(struct ip target)
{
	struct ip m = {.family = 6, .b = {0xff, 0x02, [11] = 1, [12] = 0xff}};
	memcpy(m.b + 13, target.b + 13, 3);
	return m;
}

static void packet_neighbour(const struct kind_info *info, const struct flow *f, bool answer, struct fw_packet *k)
{
	if (info->family == 4) {
		k->ethertype = ETH_ARP;
		k->arp_op = answer ? 2 : 1;
		return;
	}
	k->l4proto = IPPROTO_ICMPV6;
	k->icmp_type = answer ? ND_ADVERT : ND_SOLICIT;
	k->ct = FW_CT_UNTRACKED;
	if (!answer)
		k->dst = solicited_node(f->dst);
}

static void packet_ports(const struct flow *f, bool answer, struct fw_packet *k)
{
	struct fw_span client = {f->id_base, (uint32_t)f->id_base + (f->count ? f->count - 1u : 0)}, server = {f->dport, f->dport};
	k->sport = answer ? server : client;
	k->dport = answer ? client : server;
}

static void packet_transport(const struct kind_info *info, const struct flow *f, bool answer, struct fw_packet *k)
{
	static const uint8_t echo[2][2] = {{8, 0}, {128, 129}}; /* family, answer */
	if (info->proto == PROTO_ICMP) {
		k->l4proto = info->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
		k->icmp_type = echo[info->family == 6][answer];
		return;
	}
	k->l4proto = info->proto == PROTO_UDP ? IPPROTO_UDP : IPPROTO_TCP;
	k->tcp_flags = info->proto == PROTO_TCP ? answer ? TCP_SYN | TCP_ACK : TCP_SYN : 0;
	packet_ports(f, answer, k);
}

/* A fresh probe is new to any connection tracking; an answer belongs to what its request opened. */
static void packet_make(const struct dossier *d, const struct flow *f, bool answer, struct fw_packet *k)
{
	const struct kind_info *info = kind_info((enum kind)f->kind);
	int from = answer ? dir_dst(f->dir) : dir_src(f->dir);
	*k = (struct fw_packet){.iif = "", .oif = "", .in_bridge = "", .out_bridge = ""};
	k->ethertype = info->family == 4 ? ETH_IP4 : ETH_IP6;
	k->src = answer ? f->dst : f->src;
	k->dst = answer ? f->src : f->dst;
	k->ct = answer ? FW_CT_ESTABLISHED : FW_CT_NEW;
	k->length = info->large && !answer ? (struct fw_span){f->size, f->size}
	                                   : (struct fw_span){28, info->large || info->fragments ? 65535 : SMALL_MAX};
	if (f->onlink) {
		k->eth_src = d->party[from].ep.mac;
		if (info->proto != PROTO_NEIGH)
			k->eth_dst = d->party[1 - from].ep.mac;
	}
	if (info->proto == PROTO_NEIGH)
		packet_neighbour(info, f, answer, k);
	else
		packet_transport(info, f, answer, k);
}

/* Who speaks to routers is known by its hardware address at its own port only. */
static void packet_at_port(const struct dossier *d, int party, const struct flow *f, bool answer, struct fw_packet *k)
{
	int from = answer ? dir_dst(f->dir) : dir_src(f->dir);
	const struct party *sender = &d->party[from], *receiver = &d->party[1 - from];
	if (sender->at.port[0] && sender->at.host == party && strcmp(k->iif, sender->at.port) == 0)
		k->eth_src = sender->ep.mac;
	if (receiver->at.port[0] && receiver->at.host == party && strcmp(k->oif, receiver->at.port) == 0 && !f->onlink)
		k->eth_dst = receiver->ep.mac;
}

/* ---- one hook ---- */

static const struct fw_rule *rule_in(const struct snapshot *s, const struct fw_chain *like, uint64_t handle)
{
	for (size_t i = 0; s && i < s->chain_count; i++) {
		const struct fw_chain *c = &s->chains[i];
		if (strcmp(c->family, like->family) || strcmp(c->table, like->table) || strcmp(c->name, like->name))
			continue;
		for (size_t r = 0; r < c->rule_count; r++) {
			if (c->rules[r].handle == handle)
				return &c->rules[r];
		}
	}
	return NULL;
}

/* The rule's own counter rose while the round ran. */
static bool rule_counted(const struct party *p, const struct fw_decision *d)
{
	const struct fw_rule *was =
	    d->rule && d->rule->has_counter && p->after ? rule_in(p->before, d->chain, d->rule->handle) : NULL;
	const struct fw_rule *now = was ? rule_in(p->after, d->chain, d->rule->handle) : NULL;
	return now && now->packets > was->packets;
}

/* Chance takes all of one kind and some of another. */
static bool some_get_through(const struct search *s)
{
	const struct problem *p = s->p;
	for (int k = 0; k < KIND_COUNT; k++) {
		if ((p->probes & KIND_BIT(k) && s->v->dir[p->dir].delivery[k] == CELL_PARTIAL) ||
		    (p->answers & KIND_BIT(k) && s->v->dir[1 - p->dir].initiation[k] == CELL_PARTIAL))
			return true;
	}
	return p->partial;
}

static bool decision_is_sure(const struct search *s, const struct fw_decision *d)
{
	if (d->outcome == FW_STOPS)
		return true;
	return (d->random && s->v && some_get_through(s)) || rule_counted(&s->d->party[s->party], d);
}

static bool hit_known(const struct hits *h, const struct hit *n)
{
	for (size_t i = 0; i < h->count; i++) {
		const struct hit *o = &h->item[i];
		if (o->party == n->party && o->kind == n->kind && o->answer == n->answer && o->decision.base == n->decision.base)
			return true;
	}
	return false;
}

static void hook_ask(struct search *s, enum fw_layer layer, enum hit_layer as, const char *hook, const char *device,
                     const struct flow *f, bool answer, const struct fw_packet *k)
{
	struct fw_decision found[DECISIONS_MAX];
	size_t n = firewall_decide(s->s, layer, hook, device, k, found, DECISIONS_MAX);
	for (size_t i = 0; i < n && s->out->count < HITS_MAX; i++) {
		struct hit h = {.party = s->party,
		                .kind = f->kind,
		                .answer = answer,
		                .layer = (uint8_t)as,
		                .asked = s->asked,
		                .foreseen = s->foreseen,
		                .decision = found[i]};
		h.iif = k->iif;
		h.oif = k->oif;
		h.sure = decision_is_sure(s, &found[i]);
		if (!hit_known(s->out, &h))
			s->out->item[s->out->count++] = h;
	}
}

static const char *link_name(const struct snapshot *s, uint32_t index)
{
	const struct link *l = index ? snapshot_link(s, index) : NULL;
	return l ? l->name : "";
}

static const char *bridge_over(const struct snapshot *s, const char *port)
{
	const struct link *l = snapshot_link_named(s, port);
	return l ? link_name(s, l->master) : "";
}

static bool bridge_calls_ip(const struct snapshot *s, const struct fw_packet *k)
{
	int64_t on = 0;
	const char *name = k->ethertype == ETH_IP6 ? "net.bridge.bridge-nf-call-ip6tables" : "net.bridge.bridge-nf-call-iptables";
	return k->ethertype != ETH_ARP && snapshot_sysctl(s, name, &on) && on == 1;
}

/* ---- steps: what stands between two neighbouring points of one machine ---- */

struct step {
	const char *in, *out;               /* interface of the point before and behind; "" = the socket */
	const char *in_bridge, *out_bridge; /* above them */
};

static enum hit_layer ip_layer(const struct fw_packet *k) { return k->ethertype == ETH_ARP ? HIT_NEIGH : HIT_IP; }

static void ask_ip(struct search *s, const char *hook, const char *iif, const char *oif, enum hit_layer as, const struct flow *f,
                   bool answer, struct fw_packet k)
{
	k.iif = iif;
	k.oif = oif;
	hook_ask(s, FW_LAYER_IP, as, hook, NULL, f, answer, &k);
}

static void ask_bridge(struct search *s, const char *hook, const struct step *t, const struct flow *f, bool answer,
                       struct fw_packet k)
{
	k.iif = strcmp(hook, "output") && strcmp(hook, "postrouting") ? t->in : "";
	k.oif = strcmp(hook, "input") && strcmp(hook, "prerouting") ? t->out : "";
	k.in_bridge = k.iif[0] ? t->in_bridge : "";
	k.out_bridge = k.oif[0] ? t->out_bridge : "";
	packet_at_port(s->d, s->party, f, answer, &k);
	hook_ask(s, FW_LAYER_BRIDGE, HIT_L2, hook, NULL, f, answer, &k);
}

static bool device_is_bridge(const struct snapshot *s, const char *device)
{
	const struct link *l = snapshot_link_named(s, device);
	return l && link_is_bridge(l);
}

static void ask_device(struct search *s, const char *hook, const char *device, const struct flow *f, bool answer,
                       struct fw_packet k)
{
	k.iif = strcmp(hook, "ingress") == 0 ? device : "";
	k.oif = strcmp(hook, "egress") == 0 ? device : "";
	packet_at_port(s->d, s->party, f, answer, &k);
	bool own = device_is_bridge(s->s, device); /* what passes there is for the host itself, or routed by it */
	hook_ask(s, FW_LAYER_NETDEV, own ? HIT_IP : HIT_L2, hook, device, f, answer, &k);
}

static const char *upper(const char *bridge, const char *dev) { return bridge[0] ? bridge : dev; }

static void step_leaves(struct search *s, const struct step *t, const struct flow *f, bool answer, const struct fw_packet *k)
{
	const char *oif = upper(t->out_bridge, t->out);
	ask_ip(s, "output", "", oif, ip_layer(k), f, answer, *k);
	if (k->ethertype != ETH_ARP)
		ask_ip(s, "postrouting", "", oif, HIT_IP, f, answer, *k);
}

static void step_arrives(struct search *s, const struct step *t, const struct flow *f, bool answer, const struct fw_packet *k)
{
	const char *iif = upper(t->in_bridge, t->in);
	if (t->in_bridge[0])
		ask_device(s, "ingress", t->in_bridge, f, answer, *k);
	if (k->ethertype != ETH_ARP)
		ask_ip(s, "prerouting", iif, "", HIT_IP, f, answer, *k);
	ask_ip(s, "input", iif, "", ip_layer(k), f, answer, *k);
}

/* From a bridge device (or the stack above it) out of a port, or in through a port up to it. */
static void step_port_out(struct search *s, const struct step *t, const struct flow *f, bool answer, const struct fw_packet *k)
{
	ask_bridge(s, "output", t, f, answer, *k);
	ask_bridge(s, "postrouting", t, f, answer, *k);
}

static void step_port_in(struct search *s, const struct step *t, const struct flow *f, bool answer, const struct fw_packet *k)
{
	ask_bridge(s, "prerouting", t, f, answer, *k);
	ask_bridge(s, "input", t, f, answer, *k);
}

static void step_bridged(struct search *s, const struct step *t, const struct flow *f, bool answer, const struct fw_packet *k)
{
	static const char *const hooks[] = {"prerouting", "forward", "postrouting"};
	for (size_t i = 0; i < 3; i++) {
		ask_bridge(s, hooks[i], t, f, answer, *k);
		if (bridge_calls_ip(s->s, k))
			ask_ip(s, hooks[i], i == 2 ? "" : t->in_bridge, i == 0 ? "" : t->out_bridge, HIT_BRIDGED_IP, f, answer, *k);
	}
}

static void step_routed(struct search *s, const struct step *t, const struct flow *f, bool answer, const struct fw_packet *k)
{
	static const char *const hooks[] = {"prerouting", "forward", "postrouting"};
	const char *iif = upper(t->in_bridge, t->in), *oif = upper(t->out_bridge, t->out);
	if (t->in_bridge[0])
		step_port_in(s, t, f, answer, k);
	for (size_t i = 0; i < 3 && k->ethertype != ETH_ARP; i++)
		ask_ip(s, hooks[i], i == 2 ? "" : iif, i == 0 ? "" : oif, HIT_ROUTED, f, answer, *k);
	if (t->out_bridge[0])
		step_port_out(s, t, f, answer, k);
}

static bool is_below(const struct snapshot *s, const struct link *upper_dev, const struct link *l)
{
	bool parent = upper_dev->parent && !upper_dev->parent_elsewhere && upper_dev->parent == l->index;
	bool bonded = l->master == upper_dev->index && !link_is_bridge(upper_dev);
	const struct addr *outer = upper_dev->vx_local.family ? snapshot_addr_of(s, upper_dev->vx_local) : NULL;
	return parent || bonded || (outer && outer->link == l->index);
}

bool links_are_stacked(const struct snapshot *s, const struct link *a, const struct link *b)
{
	return is_below(s, a, b) || is_below(s, b, a);
}

static bool step_is_stacked(const struct snapshot *s, const struct step *t)
{
	const struct link *in = snapshot_link_named(s, t->in), *out = snapshot_link_named(s, t->out);
	return in && out && links_are_stacked(s, in, out);
}

/* The Open vSwitch bridge of a device: itself, or the one it is a port of. */
static const struct link *ovs_of(const struct snapshot *s, const char *device)
{
	const struct link *l = snapshot_link_named(s, device);
	if (l && !link_is_bridge(l))
		l = snapshot_link(s, l->master);
	return l && strcmp(l->kind, "ovs-bridge") == 0 ? l : NULL;
}

/* Open vSwitch asks no chain, neither in a bridge nor between two that patch ports join. */
static bool step_is_switched(const struct snapshot *s, const struct step *t)
{
	const struct link *in = ovs_of(s, t->in), *out = ovs_of(s, t->out);
	if (!in || !out || in == out)
		return in && out;
	for (size_t i = 0; i < s->link_count; i++) {
		const struct link *patch = &s->links[i],
		                  *peer = patch->master == in->index ? snapshot_link(s, patch->parent) : NULL;
		if (peer && strcmp(patch->kind, "ovs-patch") == 0 && peer->master == out->index)
			return true;
	}
	return false;
}

static void step_crosses(struct search *s, const struct step *t, const struct flow *f, bool answer, const struct fw_packet *k)
{
	if (step_is_stacked(s->s, t))
		return;
	if (step_is_switched(s->s, t))
		return;
	if (t->out[0] && strcmp(t->in_bridge, t->out) == 0)
		step_port_in(s, t, f, answer, k);
	else if (strcmp(t->out_bridge, t->in) == 0)
		step_port_out(s, t, f, answer, k);
	else if (t->in_bridge[0] && strcmp(t->in_bridge, t->out_bridge) == 0)
		step_bridged(s, t, f, answer, k);
	else
		step_routed(s, t, f, answer, k);
}

static void step_ask(struct search *s, const struct step *t, const struct flow *f, bool answer)
{
	struct fw_packet k;
	packet_make(s->d, f, answer, &k);
	if (t->in[0])
		ask_device(s, "ingress", t->in, f, answer, k);
	if (t->in[0] && t->out[0]) {
		step_crosses(s, t, f, answer, &k);
	} else if (t->out[0]) {
		step_leaves(s, t, f, answer, &k);
		if (t->out_bridge[0])
			step_port_out(s, t, f, answer, &k);
	} else {
		if (t->in_bridge[0])
			step_port_in(s, t, f, answer, &k);
		step_arrives(s, t, f, answer, &k);
	}
	if (t->out[0])
		ask_device(s, "egress", t->out, f, answer, k);
}

/* Where probes die, answers of the same kind travelling the same way are not told apart: whether they would die as well
 * matters to the fix only. */
static void step_ask_later(struct search *s, const struct step *t, int kind)
{
	const struct flow *f = flow_of(s->d, kind, 1 - s->p->dir);
	if (!f)
		return;
	s->foreseen = true;
	step_ask(s, t, f, true);
	s->foreseen = false;
}

static void step_all(struct search *s, const struct step *t)
{
	for (int k = 0; k < KIND_COUNT; k++) {
		const struct flow *probes = s->p->probes & KIND_BIT(k) ? flow_of(s->d, k, s->p->dir) : NULL;
		const struct flow *answers = s->p->answers & KIND_BIT(k) ? flow_of(s->d, k, 1 - s->p->dir) : NULL;
		if (probes)
			step_ask(s, t, probes, false);
		if (answers)
			step_ask(s, t, answers, true);
		else if (probes)
			step_ask_later(s, t, k);
	}
}

static void hits_on_stretch(const struct dossier *d, const struct verdict *v, const struct problem *p, struct hits *out)
{
	struct search s = {.d = d, .v = v, .p = p, .out = out, .asked = -1};
	const struct path_point *path = v->dir[p->dir].path;
	out->count = 0;
	for (size_t i = p->after; p->placed && i < p->before; i++) {
		s.party = point_party(d, v, p->dir, i);
		s.s = party_facts(d, s.party);
		if (!s.s || s.party != point_party(d, v, p->dir, i + 1))
			continue;
		struct step t = {.in = path[i].role == POINT_SOCKET ? "" : path[i].ifname,
		                 .out = path[i + 1].role == POINT_SOCKET ? "" : path[i + 1].ifname};
		t.in_bridge = t.in[0] ? bridge_over(s.s, t.in) : "";
		t.out_bridge = t.out[0] ? bridge_over(s.s, t.out) : "";
		step_all(&s, &t);
	}
}

/* ---- rules that were seen to do it ----
 *
 * A trace overrides what reading the rules says: that very rule is blamed, and the others stand behind it. */

static bool hit_is_of_rule(const struct hit *h, const struct flow_rule *r)
{
	const struct fw_decision *d = &h->decision;
	const struct fw_chain *c = d->rule ? d->chain : d->base;
	if (strcmp(c->family, r->family) || strcmp(c->table, r->table) || strcmp(c->name, r->chain))
		return false;
	return r->handle ? d->rule && d->rule->handle == r->handle : !d->rule;
}

static bool chain_leads_to(const struct snapshot *s, const struct fw_chain *from, const struct fw_chain *to, int depth)
{
	for (size_t i = 0; i < from->rule_count && depth < DEPTH_MAX; i++) {
		const struct fw_rule *r = &from->rules[i];
		for (size_t k = 0; (r->verdict == FW_JUMP || r->verdict == FW_GOTO) && k < s->chain_count; k++) {
			const struct fw_chain *c = &s->chains[k];
			if (!strcmp(c->family, from->family) && !strcmp(c->table, from->table) && !strcmp(c->name, r->target) &&
			    (c == to || chain_leads_to(s, c, to, depth + 1)))
				return true;
		}
	}
	return false;
}

static const struct fw_chain *base_of(const struct snapshot *s, const struct fw_chain *to)
{
	if (to->hook[0])
		return to;
	for (size_t i = 0; i < s->chain_count; i++) {
		const struct fw_chain *c = &s->chains[i];
		if (c->hook[0] && !strcmp(c->family, to->family) && !strcmp(c->table, to->table) && chain_leads_to(s, c, to, 0))
			return c;
	}
	return NULL;
}

static enum hit_layer layer_of(const struct dossier *d, int party, const struct snapshot *s, const struct fw_chain *base)
{
	bool end = party == PARTY_A || party == PARTY_B;
	if (!strcmp(base->family, "bridge"))
		return HIT_L2;
	if (!strcmp(base->family, "arp"))
		return HIT_NEIGH;
	if (!strcmp(base->hook, "ingress") || !strcmp(base->hook, "egress"))
		return device_is_bridge(s, base->device) ? HIT_IP : HIT_L2;
	if (end && strcmp(base->hook, "forward") != 0)
		return HIT_IP;
	return d->onlink ? HIT_BRIDGED_IP : HIT_ROUTED;
}

/* Reading the rules says that it passes: copies that a bridge floods elsewhere aside, the trace knows better. */
static void hit_make(struct search *s, const struct flow_rule *r, int kind)
{
	const struct fw_chain *chain;
	const struct fw_rule *rule = traced_rule(s->d, s->party, r, &chain);
	const struct fw_chain *base = chain ? base_of(s->s, chain) : NULL;
	bool copied = kind_info((enum kind)kind)->proto == PROTO_NEIGH && strcmp(r->family, "arp") != 0;
	if (!base || (r->handle && !rule) || copied || s->out->count == HITS_MAX)
		return;
	s->out->item[s->out->count++] = (struct hit){
	    .party = s->party,
	    .kind = (uint8_t)kind,
	    .answer = r->part != PART_PROBE,
	    .layer = (uint8_t)layer_of(s->d, s->party, s->s, base),
	    .sure = true,
	    .traced = true,
	    .asked = -1,
	    .iif = "",
	    .oif = "",
	    .decision = {.outcome = FW_STOPS, .reject = r->verdict == FW_REJECT, .base = base, .chain = chain, .rule = rule},
	};
}

static void hit_trace(struct search *s, const struct flow_rule *r)
{
	int kind = traced_stops(r) ? problem_row_kind(s->d, s->p, r->flow, r->part, r->seqs) : -1;
	bool found = false;
	for (size_t i = 0; kind >= 0 && i < s->out->count; i++) {
		struct hit *h = &s->out->item[i];
		if (h->party == s->party && h->kind == kind && h->answer == (r->part != PART_PROBE) && hit_is_of_rule(h, r))
			h->sure = h->traced = found = true;
	}
	if (kind >= 0 && !found)
		hit_make(s, r, kind);
}

static bool is_traced(const struct hits *h, uint8_t kind, bool answer)
{
	for (size_t i = 0; i < h->count; i++) {
		if (h->item[i].traced && h->item[i].kind == kind && h->item[i].answer == answer)
			return true;
	}
	return false;
}

static bool stands_on_stretch(const struct search *s)
{
	for (size_t i = s->p->after; s->p->placed && i <= s->p->before; i++) {
		if (point_party(s->d, s->v, s->p->dir, i) == s->party)
			return true;
	}
	return false;
}

static void hits_trace(const struct dossier *d, const struct verdict *v, const struct problem *p, struct hits *out)
{
	struct search s = {.d = d, .v = v, .p = p, .out = out, .asked = -1};
	for (s.party = 0; s.party < (int)d->party_count; s.party++) {
		const struct round_result *r = d->party[s.party].result;
		s.s = party_facts(d, s.party);
		for (size_t i = 0; r && s.s && stands_on_stretch(&s) && i < r->rules_count; i++)
			hit_trace(&s, &r->rules[i]);
	}
	for (size_t i = 0; i < out->count; i++) {
		struct hit *h = &out->item[i];
		if (!h->traced && is_traced(out, h->kind, h->answer))
			h->foreseen = true; /* it died before it came here */
	}
}

/* ---- asking again, with another packet ---- */

/* A chain that a trace brought up: its interfaces are those of the step where it stands. */
static bool hit_devices(const struct inquiry *q, const struct hit *h, const char **iif, const char **oif)
{
	const struct path_point *path = q->v->dir[q->p->dir].path;
	for (size_t i = q->p->after; q->p->placed && i < q->p->before; i++) {
		if (point_party(q->d, q->v, q->p->dir, i) != h->party || point_party(q->d, q->v, q->p->dir, i + 1) != h->party)
			continue;
		*iif = path[i].role == POINT_SOCKET ? "" : path[i].ifname;
		*oif = path[i + 1].role == POINT_SOCKET ? "" : path[i + 1].ifname;
		return true;
	}
	return false;
}

bool hit_packet(const struct inquiry *q, const struct hit *h, struct fw_packet *k)
{
	const struct snapshot *s = party_facts(q->d, h->party);
	const struct flow *f = flow_of(q->d, h->kind, h->answer ? 1 - q->p->dir : q->p->dir);
	const char *iif = h->iif, *oif = h->oif;
	if (!s || !f || !((q->p->probes | q->p->answers) & KIND_BIT(h->kind)))
		return false;
	if (!iif[0] && !oif[0] && !hit_devices(q, h, &iif, &oif))
		return false;
	packet_make(q->d, f, h->answer, k);
	k->iif = iif;
	k->oif = oif;
	k->in_bridge = bridge_over(s, iif);
	k->out_bridge = bridge_over(s, oif);
	packet_at_port(q->d, h->party, f, h->answer, k);
	return true;
}

bool hit_lets(const struct inquiry *q, const struct hit *h, const struct fw_packet *k)
{
	const struct fw_chain *base = h->decision.base;
	struct fw_decision found[DECISIONS_MAX];
	enum fw_layer layer = !strcmp(base->family, "bridge")   ? FW_LAYER_BRIDGE
	                      : !strcmp(base->family, "netdev") ? FW_LAYER_NETDEV
	                                                        : FW_LAYER_IP;
	size_t n = firewall_decide(party_facts(q->d, h->party), layer, base->hook, base->device[0] ? base->device : NULL, k, found,
	                           DECISIONS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (found[i].base == base)
			return false;
	}
	return true;
}

/* ---- rules that cannot be read in full ---- */

static bool same_rule(const struct hit *a, const struct hit *b)
{
	return a->party == b->party && a->decision.base == b->decision.base && a->decision.rule == b->decision.rule;
}

static kind_mask kinds_of_rule(const struct hits *h, const struct hit *rule)
{
	kind_mask m = 0;
	for (size_t i = 0; i < h->count; i++) {
		if (!h->item[i].foreseen && same_rule(&h->item[i], rule))
			m |= KIND_BIT(h->item[i].kind);
	}
	return m;
}

/* What a rule that stops something here would stop as well: that matters to the fix. */
static void hits_foresee(struct hits *out, const struct hits *others, bool chance)
{
	size_t n = out->count;
	for (size_t i = 0; i < n; i++) {
		const struct hit *h = &out->item[i];
		bool tells = h->sure && !h->foreseen && (h->decision.random || !chance);
		for (size_t k = 0; tells && k < others->count && out->count < HITS_MAX; k++) {
			struct hit later = others->item[k];
			if (!same_rule(h, &later) || hit_known(out, &later))
				continue;
			later.foreseen = later.sure = true;
			out->item[out->count++] = later;
		}
	}
}

static bool kind_is_stopped(const struct hits *h, uint8_t kind)
{
	for (size_t i = 0; i < h->count; i++) {
		if (h->item[i].sure && !h->item[i].foreseen && h->item[i].kind == kind)
			return true;
	}
	return false;
}

/* Of one family, some of what was sent is lost and some passes. */
static bool tells_apart(kind_mask lost, kind_mask passed)
{
	kind_mask v4 = kinds_of_family(4), v6 = kinds_of_family(6);
	return (lost & v4 && passed & v4) || (lost & v6 && passed & v6);
}

static kind_mask kinds_passing(const struct direction *d)
{
	kind_mask m = 0;
	for (int k = 0; k < KIND_COUNT; k++) {
		if (d->delivery[k] == CELL_OK && kind_info((enum kind)k)->proto != PROTO_NEIGH)
			m |= KIND_BIT(k);
	}
	return m;
}

/* A rule with a part that cannot be evaluated: when it could stop just what is lost and nothing of what passes beside that,
 * this is more than chance. Rules that leave it to chance by design stop some of everything. */
static void hits_fit(const struct dossier *d, const struct verdict *v, const struct problem *p, struct hits *out)
{
	struct problem passing = *p;
	struct hits *others = mem_alloc(sizeof *others);
	passing.answers = 0;
	passing.probes = kinds_passing(&v->dir[p->dir]) & ~p->answers;
	hits_on_stretch(d, v, &passing, others);
	for (size_t i = 0; i < out->count; i++) {
		struct hit *h = &out->item[i];
		if (h->sure || h->foreseen || h->decision.random || kind_is_stopped(out, h->kind))
			continue;
		h->fits = !kinds_of_rule(others, h) && tells_apart(kinds_of_rule(out, h), passing.probes);
	}
	hits_foresee(out, others, true); /* what chance let through this time it may take the next time */
	free(others);
}

/* What died before it came here would die here next. */
static void hits_behind(const struct dossier *d, const struct verdict *v, const struct problem *p, struct hits *out)
{
	struct problem earlier = *p;
	struct hits *others = mem_alloc(sizeof *others);
	earlier.answers = earlier.probes = 0;
	for (size_t i = 0; i < v->dir[p->dir].cut_count; i++) {
		const struct cut *c = &v->dir[p->dir].cuts[i];
		if (c->before <= p->after)
			earlier.probes |= c->kinds & ~(c->answers | p->probes);
	}
	if (earlier.probes)
		hits_on_stretch(d, v, &earlier, others);
	hits_foresee(out, others, false);
	free(others);
}

void hits_find(const struct dossier *d, const struct verdict *v, const struct problem *p, struct hits *out)
{
	hits_on_stretch(d, v, p, out);
	hits_trace(d, v, p, out);
	hits_fit(d, v, p, out);
	hits_behind(d, v, p, out);
}

/* Requests to the machine come in and its replies leave, or its own requests leave and the replies come in. */
static void ask_neighbour(struct search *s, const struct flow *f, bool answer, bool in, const char *dev)
{
	static const char *const hooks[2][2] = {{"output", "postrouting"}, {"input", "prerouting"}};
	struct fw_packet k;
	packet_make(s->d, f, answer, &k);
	for (size_t i = 0; i < (k.ethertype == ETH_ARP ? 1 : 2); i++)
		ask_ip(s, hooks[in][i], in ? dev : "", in ? "" : dev, HIT_NEIGH, f, answer, k);
}

void hits_neighbour(const struct dossier *d, const struct problem *p, int party, int kind, bool answers_others, struct hits *out)
{
	struct search s = {.d = d, .p = p, .out = out, .party = party, .s = party_facts(d, party)};
	const struct flow *f = flow_of(d, kind, answers_others == (party == PARTY_B) ? 0 : 1);
	s.asked = answers_others ? party : 1 - party;
	out->count = 0;
	for (int answer = 0; s.s && f && answer < 2; answer++)
		ask_neighbour(&s, f, answer, answers_others == !answer, party_if(d, party));
}
