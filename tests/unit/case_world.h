/* case_world: a healthy pair as a dossier and its verdict, to be broken by a test, piece by piece.
 *
 *   g1 (10.0.0.11, port v1) and g3 (10.0.0.13, port v3) on host h1 (10.0.0.1, bridge br0, uplink up0)
 *   g2 (10.0.0.12, port v2) on host h2 (10.0.0.2, bridge br0, uplink up0)                                       */
#ifndef BW_TESTS_CASE_WORLD_H
#define BW_TESTS_CASE_WORLD_H

#include "collector/diagnose/inquiry.h"
#include "proto/base/mem.h"
#include "proto/conf.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define K(k)   KIND_BIT(KIND_##k)
#define IP4    (K(ICMP) | K(UDP) | K(TCP) | K(ICMP_LARGE) | K(UDP_LARGE))
#define IP6    (K(ICMP6) | K(UDP6) | K(TCP6) | K(ICMP_LARGE6) | K(UDP_LARGE6))
#define ICMP4  (K(ICMP) | K(ICMP_LARGE))
#define LARGE4 (K(ICMP_LARGE) | K(UDP_LARGE))
#define NEIGH  (K(ARP) | K(ND))
#define ALL    (IP4 | IP6 | NEIGH)

struct world {
	struct dossier *d;
	struct verdict *v;
	struct snapshot *now[PARTIES_MAX], *old[PARTIES_MAX];
	struct round_result *result[PARTIES_MAX];
	struct fact_change *changes[PARTIES_MAX];
};

struct machine {
	const char *name, *ip, *ip6, *mac, *port, *host;
};
static const struct machine machines[] = {
    {"h1", "10.0.0.1/24", "fd00::1/64", "02:a0:00:00:00:01", NULL, "h1"},
    {"h2", "10.0.0.2/24", "fd00::2/64", "02:a0:00:00:00:02", NULL, "h2"},
    {"g1", "10.0.0.11/24", "fd00::11/64", "02:00:00:00:00:11", "v1", "h1"},
    {"g2", "10.0.0.12/24", "fd00::12/64", "02:00:00:00:00:12", "v2", "h2"},
    {"g3", "10.0.0.13/24", "fd00::13/64", "02:00:00:00:00:13", "v3", "h1"},
};
#define MACHINES (sizeof machines / sizeof *machines)

static inline const struct machine *machine(const char *name)
{
	for (size_t i = 0; i < MACHINES; i++) {
		if (strcmp(machines[i].name, name) == 0)
			return &machines[i];
	}
	abort();
}

static inline struct prefix P(const char *text) {
	struct prefix p;
	if (prefix_parse(text, &p) < 0)
		abort();
	return p;
} static inline struct mac M(const char *text) {
	struct mac m;
	if (mac_parse(text, &m) < 0)
		abort();
	return m;
}

#define GROW(items, count)                                                                                                         \
	((items) = mem_resize((items), (count) + 1, sizeof *(items)), memset(&(items)[count], 0, sizeof *(items)),                 \
	 &(items)[(count)++])

/* ---- a machine's facts ---- */

static inline struct link *
add_link(struct snapshot *s, const char *name, const char *kind, const char *mac)
{
	struct link *l = GROW(s->links, s->link_count);
	l->index = (uint32_t)s->link_count;
	str_copy(l->name, sizeof l->name, name);
	str_copy(l->kind, sizeof l->kind, kind);
	l->mac = M(mac);
	l->mtu = 1500;
	l->up = l->carrier = true;
	return l;
}
static inline void add_port(struct snapshot *s, const char *name, const char *mac)
{
	struct link *l = add_link(s, name, "veth", mac);
	l->master = 1;
	l->port = l->learning = l->flood = l->mcast_flood = l->bcast_flood = true;
	l->port_state = PORT_FORWARDING;
}
static inline void add_addr(struct snapshot *s, uint32_t link, const char *prefix)
{
	struct addr *a = GROW(s->addrs, s->addr_count);
	a->link = link;
	a->prefix = P(prefix);
}
static inline struct route *add_route(struct snapshot *s, uint8_t type, const char *dst, const char *via, uint32_t link)
{
	struct route *r = GROW(s->routes, s->route_count);
	r->type = type;
	r->table = 254;
	r->dst = prefix_network(P(dst));
	r->link = link;
	if (via)
		ip_parse(via, &r->gateway);
	return r;
}
static inline void add_sysctl(struct snapshot *s, const char *name, int64_t v)
{
	for (size_t i = 0; i < s->sysctl_count; i++) {
		if (strcmp(s->sysctls[i].name, name) == 0) {
			s->sysctls[i].value = v;
			return;
		}
	}
	struct value *n = GROW(s->sysctls, s->sysctl_count);
	str_copy(n->name, sizeof n->name, name);
	n->value = v;
}
static inline void add_counter(struct snapshot *s, const char *name, int64_t v)
{
	struct value *n = GROW(s->counters, s->counter_count);
	str_copy(n->name, sizeof n->name, name);
	n->value = v;
}

static inline struct snapshot *facts_new(const struct machine *m)
{
	struct snapshot *s = snapshot_new();
	bool host = !m->port;
	char key[96];
	const char *dev = host ? "br0" : "eth0";
	s->firewall_known = FW_READ;
	add_link(s, dev, host ? "bridge" : "", m->mac);
	if (host) {
		add_port(s, "up0", "02:0f:00:00:00:01");
		for (size_t i = 0; i < MACHINES; i++) {
			if (machines[i].port && strcmp(machines[i].host, m->name) == 0)
				add_port(s, machines[i].port, "02:fe:00:00:00:01");
		}
	}
	add_addr(s, 1, m->ip);
	add_addr(s, 1, m->ip6);
	add_route(s, ROUTE_UNICAST, m->ip, NULL, 1);
	add_route(s, ROUTE_UNICAST, m->ip6, NULL, 1);
	for (const char *const *n = (const char *const[]){"rp_filter", "arp_ignore", NULL}; *n; n++) {
		snprintf(key, sizeof key, "net.ipv4.conf.all.%s", *n);
		add_sysctl(s, key, 0);
		snprintf(key, sizeof key, "net.ipv4.conf.%s.%s", dev, *n);
		add_sysctl(s, key, 0);
	}
	snprintf(key, sizeof key, "net.ipv6.conf.%s.disable_ipv6", dev);
	add_sysctl(s, key, 0);
	add_sysctl(s, "net.ipv4.icmp_echo_ignore_all", 0);
	add_sysctl(s, "net.ipv6.icmp.echo_ignore_all", 0);
	add_sysctl(s, "net.bridge.bridge-nf-call-iptables", 0);
	add_sysctl(s, "net.bridge.bridge-nf-call-ip6tables", 0);
	struct listener *l = GROW(s->listeners, s->listener_count);
	l->proto = IPPROTO_TCP;
	l->port = 7401;
	l->ip.family = 6;
	return s;
}

/* ---- rulesets ---- */

static inline struct fw_chain *add_chain(struct snapshot *s, const char *family, const char *table, const char *name,
                                         const char *hook, int policy)
{
	struct fw_chain *c = GROW(s->chains, s->chain_count);
	str_copy(c->family, sizeof c->family, family);
	str_copy(c->table, sizeof c->table, table);
	str_copy(c->name, sizeof c->name, name);
	str_copy(c->hook, sizeof c->hook, hook);
	str_copy(c->type, sizeof c->type, hook[0] ? "filter" : "");
	c->policy = (uint8_t)policy;
	c->handle = s->chain_count;
	return c;
}
static inline struct fw_rule *add_rule(struct fw_chain *c, int verdict, const char *text)
{
	struct fw_rule *r = GROW(c->rules, c->rule_count);
	r->handle = c->rule_count;
	r->verdict = (uint8_t)verdict;
	str_copy(r->text, sizeof r->text, text);
	return r;
}
static inline struct fw_value *add_match(struct fw_rule *r, int field)
{
	r->matches = mem_resize(r->matches, r->match_count + 1u, sizeof *r->matches);
	struct fw_match *m = &r->matches[r->match_count++];
	*m = (struct fw_match){.field = (uint8_t)field, .value_count = 1, .values = mem_alloc(sizeof *m->values)};
	return m->values;
}
static inline struct fw_rule *match_number(struct fw_rule *r, int field, uint64_t lo, uint64_t hi)
{
	struct fw_value *v = add_match(r, field);
	v->lo = lo;
	v->hi = hi;
	return r;
}
static inline struct fw_rule *match_ip(struct fw_rule *r, int field, const char *prefix)
{
	add_match(r, field)->prefix = P(prefix);
	return r;
}
static inline struct fw_rule *match_name(struct fw_rule *r, int field, const char *name)
{
	str_copy(add_match(r, field)->text, IFNAME_LEN, name);
	return r;
}

/* ---- the pair ---- */

static inline int party(struct world *w, const char *name)
{
	int i = dossier_party(w->d, name);
	if (i < 0)
		abort();
	return i;
}
static inline struct snapshot *facts(struct world *w, const char *name) { return w->now[party(w, name)]; }
static inline struct link *link_named(struct world *w, const char *name, const char *dev)
{
	struct snapshot *s = facts(w, name);
	for (size_t i = 0; i < s->link_count; i++) {
		if (strcmp(s->links[i].name, dev) == 0)
			return &s->links[i];
	}
	abort();
}

static inline int world_party(struct world *w, const char *name)
{
	int at = dossier_party(w->d, name);
	if (at >= 0)
		return at;
	const struct machine *m = machine(name);
	at = (int)w->d->party_count++;
	struct party *p = &w->d->party[at];
	str_copy(p->name, sizeof p->name, name);
	str_copy(p->tenant, sizeof p->tenant, m->port ? "red" : "fleet");
	p->kind = m->port ? AGENT_GUEST : AGENT_HOST;
	p->online = p->reported = true;
	p->rights = ~0u;
	p->probe_port = 7401;
	str_copy(p->ep.ifname, sizeof p->ep.ifname, m->port ? "eth0" : "br0");
	p->ep.mac = M(m->mac);
	p->ep.ip4 = P(m->ip);
	p->ep.ip6 = P(m->ip6);
	p->ep.mtu = 1500;
	p->ep_last = p->ep;
	w->now[at] = facts_new(m);
	w->result[at] = mem_alloc(sizeof *w->result[at]);
	p->after = w->now[at];
	p->result = w->result[at];
	p->at = (struct placement){.known = true, .live = true, .host = at};
	str_copy(p->at.bridge, IFNAME_LEN, "br0");
	if (m->port)
		str_copy(p->at.port, IFNAME_LEN, m->port);
	return at;
}

static inline void world_point(struct world *w, int dir, int owner, const char *dev, uint8_t role)
{
	struct dossier *d = w->d;
	size_t i = 0;
	if (role == POINT_SOCKET) {
		d->path[dir][d->path_count[dir]++] = -1 - owner;
		return;
	}
	while (i < d->point_count && (d->points[i].party != owner || strcmp(d->points[i].ifname, dev)))
		i++;
	if (i == d->point_count) {
		d->points[i].id = (uint8_t)(i + 1);
		d->points[i].party = owner;
		d->points[i].role = role;
		str_copy(d->points[i].ifname, IFNAME_LEN, dev);
		d->point_count++;
		struct point_status *st = &w->result[owner]->status[w->result[owner]->status_count++];
		*st = (struct point_status){.point = (uint8_t)(i + 1), .armed = true};
	}
	d->path[dir][d->path_count[dir]++] = (int)i;
}

static inline void world_stack(struct world *w, int dir, int end, int host, bool across, bool out)
{
	bool guest = w->d->party[end].kind == AGENT_GUEST;
	struct {
		int party;
		const char *dev;
		uint8_t role;
	} s[4] = {{end, "", POINT_SOCKET}, {end, guest ? "eth0" : "br0", guest ? POINT_NIC : POINT_BRIDGE}};
	int n = 2;
	if (guest)
		s[n].party = host, s[n].dev = w->d->party[end].at.port, s[n++].role = POINT_PORT;
	if (across)
		s[n].party = host, s[n].dev = "up0", s[n++].role = POINT_UPLINK;
	for (int i = 0; i < n; i++) {
		int k = out ? i : n - 1 - i;
		world_point(w, dir, s[k].party, s[k].dev, s[k].role);
	}
}

static inline void world_flows(struct world *w)
{
	struct dossier *d = w->d;
	for (int dir = 0; dir < 2; dir++) {
		const struct party *from = &d->party[dir], *to = &d->party[1 - dir];
		for (int k = 0; k < KIND_SERVICE; k++) {
			const struct kind_info *info = kind_info((enum kind)k);
			struct flow *f = &d->flows[d->flow_count];
			*f = (struct flow){.id = (uint8_t)d->flow_count,
			                   .kind = (uint8_t)k,
			                   .dir = (uint8_t)dir,
			                   .count = 3,
			                   .onlink = true,
			                   .dport = 7401};
			f->id_base = (uint16_t)(30000 + 32 * d->flow_count++);
			f->size = info->large ? (uint16_t)from->ep.mtu : 0;
			f->src = info->family == 4 ? from->ep.ip4.ip : from->ep.ip6.ip;
			f->dst = info->family == 4 ? to->ep.ip4.ip : to->ep.ip6.ip;
			f->dst_mac = to->ep.mac;
			struct round_result *r = w->result[dir];
			r->sent[r->sent_count++] = (struct flow_sent){.flow = f->id, .status = FLOW_DONE, .sent = 7, .answered = 7};
			r = w->result[1 - dir];
			r->received[r->received_count++] =
			    (struct flow_received){.flow = f->id, .looked = true, .seen = 7, .replied = 7};
		}
	}
}

static inline void world_verdict(struct world *w)
{
	struct dossier *d = w->d;
	str_copy(w->v->a, NAME_MAX_LEN, d->party[0].name);
	str_copy(w->v->b, NAME_MAX_LEN, d->party[1].name);
	for (int dir = 0; dir < 2; dir++) {
		struct direction *n = &w->v->dir[dir];
		str_copy(n->from, NAME_MAX_LEN, d->party[dir].name);
		str_copy(n->to, NAME_MAX_LEN, d->party[1 - dir].name);
		for (int k = 0; k < KIND_COUNT; k++)
			n->delivery[k] = n->initiation[k] = k < KIND_SERVICE ? CELL_OK : CELL_SKIPPED;
		n->path_count = d->path_count[dir];
		n->path_complete = true;
		for (size_t i = 0; i < n->path_count; i++) {
			int at = d->path[dir][i], p = at < 0 ? -1 - at : d->points[at].party;
			struct path_point *pt = &n->path[i];
			str_copy(pt->agent, NAME_MAX_LEN, d->party[p].name);
			pt->agent_kind = d->party[p].kind;
			pt->role = at < 0 ? POINT_SOCKET : d->points[at].role;
			str_copy(pt->ifname, IFNAME_LEN, at < 0 ? "" : d->points[at].ifname);
			pt->looked = true;
		}
	}
	verdict_decide_state(w->v);
}

static inline void world_owner(struct world *w, const char *name, const char *ip, const char *mac)
{
	struct owner *o = &w->d->owners[w->d->owner_count++];
	str_copy(o->agent, NAME_MAX_LEN, name);
	str_copy(o->ifname, IFNAME_LEN, machine(name)->port ? "eth0" : "br0");
	o->mac = M(mac);
	o->ip = P(ip);
	o->same_segment = true;
	o->host = !machine(name)->port;
}

static inline struct world *world_new(const char *a, const char *b)
{
	struct world *w = mem_alloc(sizeof *w);
	w->d = mem_alloc(sizeof *w->d);
	w->v = verdict_new();
	world_party(w, a);
	world_party(w, b);
	int ha = world_party(w, machine(a)->host), hb = world_party(w, machine(b)->host);
	w->d->party[0].at.host = ha;
	w->d->party[1].at.host = hb;
	w->d->onlink = true;
	for (int e = 0; e < 2 && ha != hb; e++)
		str_copy(w->d->party[e].at.uplink, IFNAME_LEN, "up0");
	for (int dir = 0; dir < 2; dir++) {
		world_stack(w, dir, dir, dir == 0 ? ha : hb, ha != hb, true);
		world_stack(w, dir, 1 - dir, dir == 0 ? hb : ha, ha != hb, false);
		w->d->path_complete[dir] = true;
	}
	world_flows(w);
	world_verdict(w);
	for (size_t i = 0; i < MACHINES; i++)
		world_owner(w, machines[i].name, machines[i].ip, machines[i].mac);
	return w;
}

static inline void world_free(struct world *w)
{
	for (size_t i = 0; i < w->d->party_count; i++) {
		if (w->old[i] != w->now[i])
			snapshot_free(w->old[i]);
		snapshot_free(w->now[i]);
		if (w->result[i])
			round_result_clear(w->result[i]);
		free(w->result[i]);
		fact_changes_free(w->changes[i], w->d->party[i].change_count);
	}
	dossier_clear(w->d);
	free(w->d);
	verdict_free(w->v);
	free(w);
}

/* ---- breaking it ---- */

static inline int dir_of(struct world *w, const char *from) { return party(w, from) == PARTY_A ? 0 : 1; }

/* The position of "machine:interface" ("" = its socket) on a direction's path. */
static inline uint8_t at_point(struct world *w, int dir, const char *name)
{
	char text[POINT_NAME_MAX];
	for (size_t i = 0; i < w->v->dir[dir].path_count; i++) {
		if (strcmp(path_point_name(&w->v->dir[dir].path[i], text), name) == 0)
			return (uint8_t)i;
	}
	abort();
}

/* Probes `kinds` of `from` and answers `answers` that travel the same way die between two points. */
static inline struct cut *cut(struct world *w, const char *from, const char *after, const char *before, kind_mask kinds,
                              kind_mask answers)
{
	int dir = dir_of(w, from);
	struct direction *d = &w->v->dir[dir];
	struct cut *c = &d->cuts[d->cut_count++];
	*c = (struct cut){.kinds = kinds | answers,
	                  .answers = answers & ~kinds,
	                  .after = at_point(w, dir, after),
	                  .before = at_point(w, dir, before)};
	c->answer = c->answers == c->kinds;
	for (int k = 0; k < KIND_COUNT; k++) {
		if (kinds & KIND_BIT(k))
			d->delivery[k] = d->initiation[k] = CELL_LOST;
		if (answers & KIND_BIT(k))
			w->v->dir[1 - dir].initiation[k] = CELL_LOST;
	}
	verdict_decide_state(w->v);
	return c;
}

static inline void fails(struct world *w, const char *from, kind_mask kinds, enum cell how)
{
	for (int k = 0; k < KIND_COUNT; k++) {
		if (kinds & KIND_BIT(k))
			w->v->dir[dir_of(w, from)].initiation[k] = (uint8_t)how;
	}
	verdict_decide_state(w->v);
}

static inline struct flow_sent *sent(struct world *w, const char *from, int kind)
{
	const struct flow *f = flow_of(w->d, kind, dir_of(w, from));
	struct round_result *r = w->result[party(w, from)];
	for (size_t i = 0; i < r->sent_count; i++) {
		if (r->sent[i].flow == f->id)
			return &r->sent[i];
	}
	abort();
}

/* Their receiver has not seen them, nor has their sender got answers. */
static inline void nothing_of(struct world *w, const char *from, int kind, bool answers)
{
	const struct flow *f = flow_of(w->d, kind, dir_of(w, from));
	sent(w, from, kind)->answered = 0;
	struct round_result *r = w->result[1 - f->dir];
	for (size_t i = 0; i < r->received_count && !answers; i++) {
		if (r->received[i].flow == f->id)
			r->received[i].seen = r->received[i].replied = 0;
	}
}

/* The kernel of `who` says why it dropped probes of `from`, or answers to them. */
static inline void says(struct world *w, const char *who, const char *from, bool answers, kind_mask kinds, const char *reason,
                        const char *place, const char *ifname)
{
	struct round_result *r = w->result[party(w, who)];
	r->drops_looked.looked = true;
	for (int k = 0; k < KIND_COUNT; k++) {
		if (!(kinds & KIND_BIT(k)))
			continue;
		nothing_of(w, from, k, answers);
		struct flow_drop *d = GROW(r->drops, r->drops_count);
		d->flow = flow_of(w->d, k, dir_of(w, from))->id;
		d->part = answers ? PART_ANSWER : PART_PROBE;
		d->seqs = 7;
		str_copy(d->reason, sizeof d->reason, reason);
		str_copy(d->place, sizeof d->place, place);
		str_copy(d->ifname, sizeof d->ifname, ifname);
	}
}

/* Tracing on `who` saw that this rule ended their way; handle 0 = the chain's policy. */
static inline void traces(struct world *w, const char *who, const char *from, kind_mask kinds, const struct fw_chain *c,
                          uint64_t handle, int verdict)
{
	struct round_result *r = w->result[party(w, who)];
	r->rules_looked.looked = true;
	for (int k = 0; k < KIND_COUNT; k++) {
		if (!(kinds & KIND_BIT(k)))
			continue;
		nothing_of(w, from, k, false);
		struct flow_rule *t = GROW(r->rules, r->rules_count);
		t->flow = flow_of(w->d, k, dir_of(w, from))->id;
		t->part = PART_PROBE;
		t->seqs = 7;
		t->handle = handle;
		t->verdict = (uint8_t)verdict;
		str_copy(t->family, sizeof t->family, c->family);
		str_copy(t->table, sizeof t->table, c->table);
		str_copy(t->chain, sizeof t->chain, c->name);
	}
}

static inline void unresolved(struct world *w, const char *from, kind_mask kinds)
{
	for (int k = 0; k < KIND_COUNT; k++) {
		if (kinds & KIND_BIT(k))
			sent(w, from, k)->unresolved = true;
	}
}

/* The point saw frames of these kinds (probes of `from`, or answers to them) that go to this hardware address. */
static inline void frames_to(struct world *w, const char *from, bool answers, const char *who, const char *dev, kind_mask kinds,
                             const char *mac)
{
	int owner = party(w, who);
	struct round_result *r = w->result[owner];
	for (int k = 0; k < KIND_COUNT; k++) {
		if (!(kinds & KIND_BIT(k)))
			continue;
		struct point_seen *s = GROW(r->seen, r->seen_count);
		s->flow = flow_of(w->d, k, dir_of(w, from))->id;
		for (size_t i = 0; i < w->d->point_count; i++) {
			if (w->d->points[i].party == owner && strcmp(w->d->points[i].ifname, dev) == 0)
				s->point = w->d->points[i].id;
		}
		*(answers ? &s->answers : &s->probes) = 7;
		*(answers ? &s->answer_dst : &s->probe_dst) = M(mac);
	}
}

static inline void changed(struct world *w, const char *name, const char *key, const char *was, const char *now)
{
	int i = party(w, name);
	size_t n = w->d->party[i].change_count;
	w->changes[i] = mem_resize(w->changes[i], n + 1, sizeof *w->changes[i]);
	w->changes[i][n] = (struct fact_change){mem_strdup(key), mem_strdup(was), mem_strdup(now), {1}};
	w->d->party[i].changes = w->changes[i];
	w->d->party[i].change_count = n + 1;
}

static inline void drop_addr(struct world *w, const char *name, const char *prefix)
{
	struct snapshot *s = facts(w, name);
	struct prefix p = P(prefix);
	for (size_t i = 0; i < s->addr_count; i++) {
		if (ip_equal(s->addrs[i].prefix.ip, p.ip) && s->addrs[i].prefix.len == p.len) {
			s->addrs[i] = s->addrs[--s->addr_count];
			return;
		}
	}
}
static inline void drop_route(struct world *w, const char *name, const char *dst)
{
	struct snapshot *s = facts(w, name);
	struct prefix p = prefix_network(P(dst));
	for (size_t i = 0; i < s->route_count; i++) {
		if (ip_equal(s->routes[i].dst.ip, p.ip) && s->routes[i].dst.len == p.len) {
			s->routes[i] = s->routes[--s->route_count];
			return;
		}
	}
}
static inline void add_neigh(struct world *w, const char *name, const char *ip, const char *mac, uint16_t state)
{
	struct snapshot *s = facts(w, name);
	struct neigh *n = GROW(s->neighs, s->neigh_count);
	n->link = 1;
	ip_parse(ip, &n->ip);
	n->mac = M(mac);
	n->state = state;
}
static inline void silence(struct world *w, const char *name) /* its agent is not heard */
{
	int i = party(w, name);
	w->d->party[i].result = NULL;
	w->d->party[i].after = NULL;
	w->d->party[i].reported = w->d->party[i].online = false;
}

/* The catalogue that is shipped. */
static inline struct catalogue *catalogue_shipped(void)
{
	struct err e = {0};
	struct catalogue *c = catalogue_builtin(&e);
	if (!c) {
		fprintf(stderr, "%s\n", e.text);
		abort();
	}
	return c;
}

static inline void verdict_dump(const struct verdict *v)
{
	fprintf(stderr, "  state %s; %s\n", state_name(v->state), v->sentence ? v->sentence : "");
	for (size_t i = 0; i < v->cause_count; i++) {
		const struct cause *c = &v->causes[i];
		fprintf(stderr, "  %.2f %s at %s (%s) %s\n", c->confidence, c->id, c->where, c->component ? c->component : "",
		        c->direction);
		for (size_t k = 0; k < c->for_count; k++)
			fprintf(stderr, "      + %s\n", c->for_text[k]);
		for (size_t k = 0; k < c->against_count; k++)
			fprintf(stderr, "      - %s\n", c->against_text[k]);
		for (size_t k = 0; k < c->fix_count; k++)
			fprintf(stderr, "      %s> %s\n", c->fixes[k].where, c->fixes[k].command);
	}
	for (size_t i = 0; i < v->ruled_out_count; i++)
		fprintf(stderr, "  not %s: %s\n", v->ruled_out[i].id, v->ruled_out[i].because);
	for (size_t i = 0; i < v->note_count; i++)
		fprintf(stderr, "  note: %s\n", v->notes[i]);
}

#endif
