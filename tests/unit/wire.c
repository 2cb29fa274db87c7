/* Every message with random content comes back as it was sent. */
#include "proto/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TURNS 40

/* ---- random content, from a seed ---- */

static uint64_t seed;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint64_t below(uint64_t n) { return rnd() % n; }
static bool coin(void) { return rnd() & 1; }

/* 0 about every third time: absent fields matter. */
static uint64_t upto(uint64_t max)
{
	uint64_t v = below(3) ? rnd() >> below(64) : 0;
	return max == UINT64_MAX ? v : v % (max + 1);
}

static void text(char *out, size_t size)
{
	static const char *const pieces[] = {"a",  "eth0", "-",  " ", "vm1", "\xc3\xa9", "\xe2\x86\x92", "\xf0\x9f\x94\xa5",
	                                     "0x", ".",    "\"", "\\"};
	size_t n = below(size), used = 0;
	for (;;) {
		const char *p = pieces[below(sizeof pieces / sizeof *pieces)];
		if (used + strlen(p) > n)
			break;
		memcpy(out + used, p, strlen(p));
		used += strlen(p);
	}
}
#define TEXT(f) text((f), sizeof(f))

static void bytes(void *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)out)[i] = (uint8_t)rnd();
}

static struct mac mac(void)
{
	struct mac m = {0};
	if (coin())
		bytes(m.b, sizeof m.b);
	return m;
}

static struct ip ip(int family)
{
	struct ip a = {0};
	a.family = (uint8_t)(family ? family : (int)below(3) * 2 + 2);
	if (a.family == 2)
		return (struct ip){0};
	bytes(a.b, a.family == 4 ? 4 : 16);
	return a;
}

static struct prefix prefix(int family)
{
	struct prefix p = {.ip = ip(family)};
	p.len = p.ip.family ? (uint8_t)below(p.ip.family == 4 ? 33 : 129) : 0;
	return p;
}

#define FILL(items, count, max, fill)                                                                                              \
	do {                                                                                                                       \
		(count) = below((max) + 1);                                                                                        \
		(items) = (count) ? mem_array((count), sizeof *(items)) : NULL;                                                    \
		for (size_t fill_i = 0; fill_i < (count); fill_i++)                                                                \
			fill(&(items)[fill_i]);                                                                                    \
	} while (0)
#define FILL_INLINE(items, count, max, fill)                                                                                       \
	do {                                                                                                                       \
		(count) = below((max) + 1);                                                                                        \
		for (size_t fill_i = 0; fill_i < (count); fill_i++)                                                                \
			fill(&(items)[fill_i]);                                                                                    \
	} while (0)

static void fill_link(struct link *l)
{
	l->index = (uint32_t)upto(UINT32_MAX);
	TEXT(l->name);
	TEXT(l->kind);
	l->mac = mac();
	l->mtu = (uint32_t)upto(65535);
	l->master = (uint32_t)upto(99);
	bool *flags[] = {&l->up,       &l->carrier, &l->noarp,       &l->loopback,    &l->promisc, &l->port, &l->isolated,
	                 &l->learning, &l->flood,   &l->mcast_flood, &l->bcast_flood, &l->locked,  &l->stp,  &l->vlan_filtering};
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		*flags[i] = coin();
	l->port_state = (uint8_t)below(5);
	l->rx_packets = upto(UINT64_MAX);
	l->tx_errors = upto(UINT64_MAX);
	l->parent = (uint32_t)upto(99);
	l->parent_elsewhere = coin();
	l->vlan = (uint16_t)upto(4095);
	l->vni = (uint32_t)upto(UINT32_MAX);
	l->vx_local = ip(0);
	l->vx_remote = ip(0);
	l->vx_port = (uint16_t)upto(UINT16_MAX);
	TEXT(l->mode);
	l->active = (uint32_t)upto(99);
	TEXT(l->driver);
	TEXT(l->driver_version);
	l->offloads = (uint32_t)upto(UINT32_MAX);
	l->offloads_known = coin();
	l->rx_queues = (uint16_t)upto(UINT16_MAX);
	l->tx_queues = (uint16_t)upto(UINT16_MAX);
	l->speed = (uint32_t)upto(UINT32_MAX);
}

static void fill_addr(struct addr *a)
{
	a->link = (uint32_t)upto(99);
	a->prefix = prefix(0);
	a->tentative = coin();
	a->dadfailed = coin();
	a->temporary = coin();
}

static void fill_route(struct route *r)
{
	r->type = (uint8_t)upto(255);
	r->table = (uint32_t)upto(UINT32_MAX);
	r->dst = prefix(coin() ? 4 : 6);
	r->gateway = ip(0);
	r->source = ip(0);
	r->link = (uint32_t)upto(99);
	r->metric = (uint32_t)upto(UINT32_MAX);
	r->mtu = (uint32_t)upto(65535);
	r->protocol = (uint8_t)upto(255);
	r->hops = (uint8_t)upto(255);
}

static void fill_policy_rule(struct policy_rule *r)
{
	r->family = coin() ? 4 : 6;
	r->priority = (uint32_t)upto(UINT32_MAX);
	r->table = (uint32_t)upto(UINT32_MAX);
	r->action = (uint8_t)upto(255);
	r->src = prefix(0);
	r->dst = prefix(0);
	TEXT(r->iif);
	TEXT(r->oif);
	r->fwmark = (uint32_t)upto(UINT32_MAX);
}

static void fill_neigh(struct neigh *n)
{
	n->link = (uint32_t)upto(99);
	n->ip = ip(0);
	n->mac = mac();
	n->state = (uint16_t)upto(UINT16_MAX);
}

static void fill_fdb(struct fdb *f)
{
	f->bridge = (uint32_t)upto(99);
	f->port = (uint32_t)upto(99);
	f->mac = mac();
	f->vlan = (uint16_t)upto(4095);
	f->local = coin();
	f->is_static = coin();
	f->sticky = coin();
	f->remote = ip(0);
}

static void fill_value(struct value *v)
{
	TEXT(v->name);
	v->value = (int64_t)upto(UINT64_MAX);
}

static void fill_text(struct text *t)
{
	TEXT(t->name);
	TEXT(t->text);
}

static void fill_vlan(struct port_vlan *v)
{
	v->link = (uint32_t)upto(UINT32_MAX);
	v->vid = (uint16_t)upto(4095);
	v->last = (uint16_t)upto(4095);
	v->pvid = coin();
	v->untagged = coin();
}

/* What platforms say: any value that each field may have. */
static void fill_prow(const struct ptable *t, void *row)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct pfield *f = &t->fields[i];
		char *at = (char *)row + f->offset;
		size_t names = 0;
		while (f->names && f->names[names])
			names++;
		switch (f->type) {
		case PFIELD_TEXT: text(at, f->size); break;
		case PFIELD_NUMBER:
			for (size_t b = 0; b < f->size; b++)
				at[b] = (char)below(256);
			break;
		case PFIELD_SAID: *at = (char)below(3); break;
		case PFIELD_ENUM: *at = (char)below((uint32_t)names); break;
		case PFIELD_MAC: *(struct mac *)at = mac(); break;
		case PFIELD_IP: *(struct ip *)(void *)at = ip(0); break;
		default:
			((char *)row)[f->count_offset] = (char)below(PLATFORM_MACS_MAX + 1);
			for (int k = 0; k < ((char *)row)[f->count_offset]; k++)
				((struct mac *)at)[k] = mac();
		}
	}
}
static void fill_vport(struct vport *v) { fill_prow(&platform_tables[0], v); }
static void fill_vswitch(struct vswitch *v) { fill_prow(&platform_tables[1], v); }
static void fill_swport(struct swport *v) { fill_prow(&platform_tables[2], v); }
static void fill_pnote(struct pnote *v) { fill_prow(&platform_tables[3], v); }

static void fill_listener(struct listener *l)
{
	l->proto = coin() ? 6 : 17;
	l->ip = ip(0);
	l->v6only = coin();
	l->port = (uint16_t)upto(UINT16_MAX);
	l->backlog = (uint32_t)upto(4096);
	l->queued = (uint32_t)upto(4096);
}

static void fill_fw_value(struct fw_value *v)
{
	v->lo = upto(UINT64_MAX);
	v->hi = upto(UINT64_MAX);
	v->prefix = prefix(0);
	v->range_end = ip(0);
	v->mac = mac();
	TEXT(v->text);
}

static void fill_match(struct fw_match *m)
{
	m->field = (uint8_t)below(FW_FIELD_COUNT);
	m->negate = coin();
	FILL(m->values, m->value_count, 3, fill_fw_value);
}

static void fill_rule(struct fw_rule *r)
{
	r->handle = upto(UINT64_MAX);
	r->verdict = (uint8_t)below(FW_MAYBE + 1);
	TEXT(r->target);
	r->packets = upto(UINT64_MAX);
	r->has_counter = coin();
	TEXT(r->text);
	FILL(r->matches, r->match_count, 4, fill_match);
}

static void fill_chain(struct fw_chain *c)
{
	TEXT(c->family);
	TEXT(c->table);
	TEXT(c->name);
	TEXT(c->hook);
	TEXT(c->type);
	TEXT(c->device);
	c->handle = upto(UINT64_MAX);
	c->priority = (int32_t)upto(UINT32_MAX);
	c->policy = (uint8_t)below(FW_DROP + 1);
	FILL(c->rules, c->rule_count, 4, fill_rule);
}

static struct snapshot *snapshot(void)
{
	struct snapshot *s = snapshot_new();
	s->taken.ns = (int64_t)upto(UINT64_MAX);
	TEXT(s->hostname);
	TEXT(s->kernel);
	TEXT(s->platform);
	s->firewall_known = (uint8_t)below(4);
	s->truncated = below(9);
	FILL(s->links, s->link_count, 5, fill_link);
	FILL(s->addrs, s->addr_count, 5, fill_addr);
	FILL(s->routes, s->route_count, 5, fill_route);
	FILL(s->rules, s->rule_count, 5, fill_policy_rule);
	FILL(s->neighs, s->neigh_count, 5, fill_neigh);
	FILL(s->fdbs, s->fdb_count, 5, fill_fdb);
	FILL(s->sysctls, s->sysctl_count, 5, fill_value);
	FILL(s->counters, s->counter_count, 5, fill_value);
	FILL(s->listeners, s->listener_count, 5, fill_listener);
	FILL(s->chains, s->chain_count, 4, fill_chain);
	FILL(s->texts, s->text_count, 5, fill_text);
	FILL(s->vlans, s->vlan_count, 5, fill_vlan);
	FILL(s->vports, s->vport_count, 3, fill_vport);
	FILL(s->vswitches, s->vswitch_count, 3, fill_vswitch);
	FILL(s->swports, s->swport_count, 3, fill_swport);
	FILL(s->pnotes, s->pnote_count, 3, fill_pnote);
	return s;
}

static struct snapshot *maybe_snapshot(void) { return coin() ? snapshot() : NULL; }

static struct health health(void)
{
	return (struct health){
	    .lag_us = (uint32_t)upto(UINT32_MAX),
	    .socket_drops = (uint32_t)upto(UINT32_MAX),
	    .spool_dropped = (uint32_t)upto(UINT32_MAX),
	    .rejected = (uint32_t)upto(UINT32_MAX),
	    .limited = (uint32_t)upto(UINT32_MAX),
	    .steal_permille = (int32_t)below(1002) - 1,
	    .clock_step_us = (int64_t)upto(UINT64_MAX),
	};
}

static void fill_row(struct watch_row *r)
{
	r->pair = (uint32_t)upto(UINT32_MAX);
	r->dir = coin();
	r->kind = (uint8_t)below(KIND_COUNT);
	r->sender = coin();
	r->epoch = (uint32_t)upto(UINT32_MAX);
	r->sent = (uint8_t)below(65);
	r->not_sent = (uint8_t)below(65);
	r->answered = (uint8_t)below(65);
	r->late = (uint8_t)below(65);
	r->refused = (uint8_t)below(65);
	r->impostor = (uint8_t)below(65);
	r->wants_answer = coin();
	r->error = (int16_t)upto(INT16_MAX);
	r->rtt_us = (uint32_t)upto(UINT32_MAX);
	r->seen = upto(UINT64_MAX);
	r->duplicated = (uint8_t)upto(255);
	r->reordered = (uint8_t)upto(255);
}

static void fill_flow(struct flow *f)
{
	f->kind = (uint8_t)below(KIND_COUNT);
	f->dir = coin();
	f->stage = (uint8_t)below(STAGE_COUNT);
	f->count = (uint8_t)below(LADDER_COUNT + 1);
	f->gap_ms = (uint16_t)upto(UINT16_MAX);
	f->size = (uint16_t)upto(UINT16_MAX);
	f->ladder = coin();
	f->id_base = (uint16_t)upto(UINT16_MAX - FLOW_PROBES_MAX);
	f->dport = (uint16_t)upto(UINT16_MAX);
	f->src = ip(kind_info(f->kind)->family);
	f->dst = ip(kind_info(f->kind)->family);
	f->dst_mac = mac();
	f->onlink = coin();
	TEXT(f->ifname);
	f->bind_device = coin();
	f->ports = (uint8_t)below(FLOW_PROBES_MAX + 1);
	f->ttl = (uint8_t)upto(255);
	f->asks = (uint8_t)upto(255);
	f->timed = coin();
}

static void fill_point(struct point_spec *p)
{
	p->id = (uint8_t)rnd();
	TEXT(p->ifname);
}

static void fill_status(struct point_status *p)
{
	p->point = (uint8_t)rnd();
	p->armed = coin();
	p->dropped = (uint32_t)upto(UINT32_MAX);
	TEXT(p->why);
}

static void fill_sent(struct flow_sent *s)
{
	s->flow = (uint8_t)below(ROUND_FLOWS_MAX);
	s->status = (uint8_t)below(3);
	TEXT(s->why);
	seqset *sets[] = {&s->sent, &s->refused_local, &s->directed, &s->answered, &s->late, &s->refused, &s->taken, &s->impostor};
	for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
		*sets[i] = upto(UINT64_MAX);
	s->duplicates = (uint16_t)upto(UINT16_MAX);
	s->error = (int16_t)upto(INT16_MAX);
	s->icmp_type = (uint8_t)upto(255);
	s->icmp_code = (uint8_t)upto(255);
	s->icmp_mtu = (uint32_t)upto(UINT32_MAX);
	s->icmp_from = ip(0);
	s->unresolved = coin();
	s->mac_count = (uint8_t)below(FLOW_MACS_MAX + 1);
	for (size_t i = 0; i < s->mac_count; i++)
		s->macs[i] = mac();
	s->rtt_us = (uint32_t)upto(UINT32_MAX);
}

static void fill_received(struct flow_received *f)
{
	f->flow = (uint8_t)below(ROUND_FLOWS_MAX);
	f->looked = coin();
	TEXT(f->why);
	f->seen = upto(UINT64_MAX);
	f->duplicates = (uint16_t)upto(UINT16_MAX);
	f->reordered = (uint16_t)upto(UINT16_MAX);
	f->from = ip(0);
	f->ttl = (uint8_t)upto(255);
	f->replied = upto(UINT64_MAX);
	f->reply_error = (int16_t)upto(INT16_MAX);
}

static void fill_seen(struct point_seen *p)
{
	p->point = (uint8_t)rnd();
	p->flow = (uint8_t)below(ROUND_FLOWS_MAX);
	p->probes = upto(UINT64_MAX);
	p->answers = upto(UINT64_MAX);
	p->refusals = upto(UINT64_MAX);
	p->probe_src = mac();
	p->probe_dst = mac();
	p->answer_src = mac();
	p->answer_dst = mac();
	p->vlan = (uint16_t)upto(4095);
	p->duplicates = (uint16_t)upto(UINT16_MAX);
	p->damaged = upto(UINT64_MAX);
}

static void fill_times(struct flow_times *t)
{
	t->point = (uint8_t)rnd();
	t->flow = (uint8_t)below(ROUND_FLOWS_MAX);
	t->part = (uint8_t)below(PART_ANSWER + 1);
	t->seqs = upto(UINT64_MAX);
	for (size_t i = 0; i < FLOW_PROBES_MAX; i++)
		t->at_us[i] = t->seqs >> i & 1 ? (uint32_t)upto(UINT32_MAX) : 0;
}

static struct endpoint endpoint(void)
{
	struct endpoint e = {.mac = mac(), .mtu = (uint32_t)upto(UINT32_MAX)};
	TEXT(e.ifname);
	if (coin())
		e.ip4 = prefix(4);
	if (coin())
		e.ip6 = prefix(6);
	return e;
}

static void fill_peer(struct peer *p)
{
	p->pair = (uint32_t)upto(UINT32_MAX);
	p->is_a = coin();
	bytes(p->key, sizeof p->key);
	p->self = endpoint();
	p->other = endpoint();
	p->port = (uint16_t)(1 + below(UINT16_MAX));
	p->bind_device = coin();
	p->kinds = (kind_mask)upto(KIND_BIT(KIND_COUNT) - 1);
	p->interval_ms = 1 + (uint32_t)below(100000);
	TEXT(p->name);
}

static struct looked looked(void)
{
	struct looked l = {.looked = coin(), .lost = (uint32_t)upto(UINT32_MAX)};
	TEXT(l.why);
	return l;
}

static void fill_drop(struct flow_drop *d)
{
	d->flow = (uint8_t)below(ROUND_FLOWS_MAX);
	d->part = (uint8_t)below(3);
	d->seqs = upto(UINT64_MAX);
	TEXT(d->reason);
	TEXT(d->place);
	TEXT(d->ifname);
}

static void fill_traced(struct flow_rule *r)
{
	r->flow = (uint8_t)below(ROUND_FLOWS_MAX);
	r->part = (uint8_t)below(3);
	r->seqs = upto(UINT64_MAX);
	TEXT(r->family);
	TEXT(r->table);
	TEXT(r->chain);
	r->handle = upto(UINT64_MAX);
	r->verdict = (uint8_t)below(FW_MAYBE + 1);
	TEXT(r->text);
}

static void fill_frame(struct frame_kept *f)
{
	f->point = (uint8_t)rnd();
	f->flow = (uint8_t)below(ROUND_FLOWS_MAX);
	f->seq = (uint8_t)below(FLOW_PROBES_MAX);
	f->part = (uint8_t)below(3);
	f->way = (uint8_t)below(3);
	f->at.ns = (int64_t)upto(INT64_MAX);
	f->length = (uint32_t)upto(UINT32_MAX);
	f->kept = (uint16_t)below(FRAME_KEEP_MAX + 1);
	f->bytes = f->kept ? mem_alloc(f->kept) : NULL;
	if (f->kept)
		bytes(f->bytes, f->kept);
}

/* ---- messages ---- */

static void fill_join(struct msg *m)
{
	m->u.join.version_min = (uint32_t)upto(9);
	m->u.join.version_max = (uint32_t)upto(9);
	bytes(m->u.join.agent_key, KEY_LEN);
	TEXT(m->u.join.name);
	TEXT(m->u.join.hostname);
}

static void fill_joined(struct msg *m)
{
	TEXT(m->u.joined.name);
	TEXT(m->u.joined.tenant);
	m->u.joined.kind = coin();
}

static void fill_refused(struct msg *m)
{
	TEXT(m->u.refused.reason);
	m->u.refused.final = coin();
}

static void fill_hello(struct msg *m)
{
	struct msg_hello *h = &m->u.hello;
	h->version_min = (uint32_t)upto(9);
	h->version_max = (uint32_t)upto(9);
	h->boot = upto(UINT64_MAX);
	h->next_report = upto(UINT64_MAX);
	TEXT(h->software);
	h->probe_port = (uint16_t)(1 + below(UINT16_MAX));
	h->rights = (uint32_t)upto(31);
	TEXT(h->rights_why);
	TEXT(h->restart);
	TEXT(h->uplink_if);
	TEXT(h->probe_ifs);
	h->service_count = below(17);
	for (size_t i = 0; i < h->service_count; i++)
		h->services[i] = (uint16_t)rnd();
	h->start_count = h->service_count;
	for (size_t i = 0; i < h->start_count; i++)
		TEXT(h->starts[i]);
}

static void fill_welcome(struct msg *m)
{
	m->u.welcome.version = (uint32_t)upto(9);
	m->u.welcome.acked = upto(UINT64_MAX);
	TEXT(m->u.welcome.name);
	TEXT(m->u.welcome.tenant);
	m->u.welcome.kind = coin();
}

static void fill_report(struct msg *m)
{
	m->u.report.boot = upto(UINT64_MAX);
	m->u.report.number = upto(UINT64_MAX);
	m->u.report.health = health();
	FILL(m->u.report.rows, m->u.report.row_count, 100, fill_row);
	m->u.report.snapshot = maybe_snapshot();
}

static void fill_ack(struct msg *m) { m->u.ack = (struct msg_ack){upto(UINT64_MAX), upto(UINT64_MAX)}; }

static void fill_plan(struct msg *m)
{
	m->u.plan.version = upto(UINT64_MAX);
	m->u.plan.report_ms = 1 + (uint32_t)below(10000);
	m->u.plan.budget_pps = 1 + (uint32_t)below(10000);
	FILL(m->u.plan.peers, m->u.plan.peer_count, 20, fill_peer);
}

static void fill_round_arm(struct msg *m)
{
	struct round_spec *s = &m->u.round_arm;
	s->id = upto(UINT64_MAX);
	s->pair = (uint32_t)upto(UINT32_MAX);
	bytes(s->key, sizeof s->key);
	s->endpoint = coin();
	s->is_a = coin();
	s->wait_ms = (uint16_t)(1 + below(5000));
	FILL_INLINE(s->flows, s->flow_count, ROUND_FLOWS_MAX, fill_flow);
	for (size_t i = 0; i < s->flow_count; i++)
		s->flows[i].id = (uint8_t)i;
	FILL_INLINE(s->points, s->point_count, ROUND_POINTS_MAX, fill_point);
	s->name_drops = coin();
	s->name_rules = coin();
	s->keep_frames = coin();
	TEXT(s->resolve);
}

static void fill_round_armed(struct msg *m)
{
	struct msg_round_armed *a = &m->u.round_armed;
	a->round = upto(UINT64_MAX);
	FILL_INLINE(a->status, a->status_count, ROUND_POINTS_MAX, fill_status);
	a->snapshot = maybe_snapshot();
	a->refused = below(2);
}

static void fill_round_go(struct msg *m) { m->u.round_go = (struct msg_round_go){upto(UINT64_MAX), (uint8_t)below(STAGE_COUNT)}; }
static void fill_stage_done(struct msg *m)
{
	m->u.stage_done.round = upto(UINT64_MAX);
	m->u.stage_done.stage = (uint8_t)below(STAGE_COUNT);
	m->u.stage_done.unanswered = (kind_mask)upto(KIND_BIT(KIND_COUNT) - 1);
	m->u.stage_done.silent = (kind_mask)upto(KIND_BIT(KIND_COUNT) - 1);
	m->u.stage_done.repeated = (uint32_t)upto(UINT32_MAX);
	m->u.stage_done.rtt_us = (uint32_t)upto(UINT32_MAX);
}

static void fill_round_end(struct msg *m) { m->u.round_end.round = upto(UINT64_MAX); }

static void fill_round_result(struct msg *m)
{
	struct round_result *r = &m->u.round_result.result;
	r->id = upto(UINT64_MAX);
	FILL_INLINE(r->sent, r->sent_count, ROUND_FLOWS_MAX, fill_sent);
	FILL_INLINE(r->received, r->received_count, ROUND_FLOWS_MAX, fill_received);
	FILL_INLINE(r->status, r->status_count, ROUND_POINTS_MAX, fill_status);
	FILL(r->seen, r->seen_count, 200, fill_seen);
	r->health = health();
	r->drops_looked = looked();
	r->rules_looked = looked();
	FILL(r->drops, r->drops_count, 20, fill_drop);
	FILL(r->rules, r->rules_count, 20, fill_traced);
	FILL(r->frames, r->frames_count, 20, fill_frame);
	r->frames_left_out = (uint32_t)upto(UINT32_MAX);
	FILL(r->times, r->times_count, 20, fill_times);
	m->u.round_result.snapshot = maybe_snapshot();
}

static void fill_relay(struct msg *m)
{
	m->u.relay.stream = (uint32_t)upto(UINT32_MAX);
	m->u.relay.len = below(300);
	m->u.relay.data = mem_array(m->u.relay.len + 1, 1);
	bytes(m->u.relay.data, m->u.relay.len);
}

static void fill_relay_state(struct msg *m)
{
	m->u.relay_state.stream = (uint32_t)upto(UINT32_MAX);
	m->u.relay_state.open = coin();
	TEXT(m->u.relay_state.label);
}

static void fill_query(struct msg *m)
{
	m->u.query.id = (uint32_t)upto(UINT32_MAX);
	m->u.query.argc = below(QUERY_ARGS_MAX + 1);
	for (size_t i = 0; i < m->u.query.argc; i++)
		TEXT(m->u.query.args[i]);
}

static void fill_answer(struct msg *m)
{
	char json[2000] = "{\n\t";
	text(json + 3, sizeof json - 3);
	m->u.answer.id = (uint32_t)upto(UINT32_MAX);
	m->u.answer.more = coin();
	m->u.answer.exit_code = (uint8_t)below(4);
	m->u.answer.json = mem_strdup(json);
	m->u.answer.len = strlen(json);
	m->u.answer.blob_len = below(100);
	m->u.answer.blob = mem_alloc(100);
	bytes(m->u.answer.blob, 100);
}

static void fill_nothing(struct msg *m) { (void)m; }

static void (*const fillers[MSG_TYPE_COUNT])(struct msg *) = {
    [MSG_JOIN] = fill_join,
    [MSG_HELLO] = fill_hello,
    [MSG_REPORT] = fill_report,
    [MSG_ROUND_ARMED] = fill_round_armed,
    [MSG_STAGE_DONE] = fill_stage_done,
    [MSG_ROUND_RESULT] = fill_round_result,
    [MSG_RELAY_UP] = fill_relay,
    [MSG_RELAY_STATE] = fill_relay_state,
    [MSG_JOINED] = fill_joined,
    [MSG_REFUSED] = fill_refused,
    [MSG_WELCOME] = fill_welcome,
    [MSG_PLAN] = fill_plan,
    [MSG_ACK] = fill_ack,
    [MSG_ROUND_ARM] = fill_round_arm,
    [MSG_ROUND_GO] = fill_round_go,
    [MSG_ROUND_END] = fill_round_end,
    [MSG_RELAY_DOWN] = fill_relay,
    [MSG_QUERY] = fill_query,
    [MSG_ANSWER] = fill_answer,
    [MSG_PING] = fill_nothing,
    [MSG_PONG] = fill_nothing,
};

/* ---- the same? Everything is filled into zeroed memory, so padding compares equal; owned memory is compared apart. ---- */

static void same_array(void *a, size_t na, void *b, size_t nb, size_t size)
{
	assert_int_equal(na, nb);
	if (na)
		assert_memory_equal(a, b, na * size);
}
#define SAME(x, y, items, count) same_array((x)->items, (x)->count, (y)->items, (y)->count, sizeof *(x)->items)

static void same_rule(struct fw_rule *a, struct fw_rule *b)
{
	assert_int_equal(a->match_count, b->match_count);
	for (size_t i = 0; i < a->match_count; i++) {
		struct fw_match *x = &a->matches[i], *y = &b->matches[i];
		assert_int_equal(x->field, y->field);
		assert_int_equal(x->negate, y->negate);
		SAME(x, y, values, value_count);
	}
	struct fw_rule p = *a, q = *b;
	p.matches = q.matches = NULL;
	assert_memory_equal(&p, &q, sizeof p);
}

static void same_chain(struct fw_chain *a, struct fw_chain *b)
{
	assert_int_equal(a->rule_count, b->rule_count);
	for (size_t i = 0; i < a->rule_count; i++)
		same_rule(&a->rules[i], &b->rules[i]);
	struct fw_chain p = *a, q = *b;
	p.rules = q.rules = NULL;
	assert_memory_equal(&p, &q, sizeof p);
}

static void same_snapshot(struct snapshot *a, struct snapshot *b)
{
	assert_int_equal(!a, !b);
	if (!a)
		return;
	SAME(a, b, links, link_count);
	SAME(a, b, addrs, addr_count);
	SAME(a, b, routes, route_count);
	SAME(a, b, rules, rule_count);
	SAME(a, b, neighs, neigh_count);
	SAME(a, b, fdbs, fdb_count);
	SAME(a, b, sysctls, sysctl_count);
	SAME(a, b, counters, counter_count);
	SAME(a, b, texts, text_count);
	SAME(a, b, vlans, vlan_count);
	SAME(a, b, vports, vport_count);
	SAME(a, b, vswitches, vswitch_count);
	SAME(a, b, swports, swport_count);
	SAME(a, b, pnotes, pnote_count);
	SAME(a, b, listeners, listener_count);
	assert_int_equal(a->chain_count, b->chain_count);
	for (size_t i = 0; i < a->chain_count; i++)
		same_chain(&a->chains[i], &b->chains[i]);
	assert_int_equal(a->taken.ns, b->taken.ns);
	assert_string_equal(a->hostname, b->hostname);
	assert_string_equal(a->kernel, b->kernel);
	assert_string_equal(a->platform, b->platform);
	assert_int_equal(a->firewall_known, b->firewall_known);
	assert_int_equal(a->truncated, b->truncated);
}

static void same_result(struct round_result *a, struct round_result *b)
{
	SAME(a, b, seen, seen_count);
	SAME(a, b, drops, drops_count);
	SAME(a, b, rules, rules_count);
	SAME(a, b, times, times_count);
	assert_int_equal(a->frames_count, b->frames_count);
	for (size_t i = 0; i < a->frames_count; i++) {
		SAME(&a->frames[i], &b->frames[i], bytes, kept);
		assert_int_equal(a->frames[i].at.ns, b->frames[i].at.ns);
		assert_int_equal(a->frames[i].length, b->frames[i].length);
		assert_int_equal(a->frames[i].point, b->frames[i].point);
		assert_int_equal(a->frames[i].flow, b->frames[i].flow);
		assert_int_equal(a->frames[i].seq, b->frames[i].seq);
		assert_int_equal(a->frames[i].part, b->frames[i].part);
		assert_int_equal(a->frames[i].way, b->frames[i].way);
	}
}

static void result_forget(struct round_result *r)
{
	r->seen = NULL;
	r->drops = NULL;
	r->rules = NULL;
	r->frames = NULL;
	r->times = NULL;
}

/* Compares what is owned, then forgets it in copies, which must be equal to the last byte. */
static void same_owned(struct msg *a, struct msg *b, struct msg *pa, struct msg *pb)
{
	switch (a->type) {
	case MSG_REPORT:
		SAME(&a->u.report, &b->u.report, rows, row_count);
		same_snapshot(a->u.report.snapshot, b->u.report.snapshot);
		pa->u.report.rows = pb->u.report.rows = NULL;
		pa->u.report.snapshot = pb->u.report.snapshot = NULL;
		break;
	case MSG_PLAN:
		SAME(&a->u.plan, &b->u.plan, peers, peer_count);
		pa->u.plan.peers = pb->u.plan.peers = NULL;
		break;
	case MSG_ROUND_ARMED:
		same_snapshot(a->u.round_armed.snapshot, b->u.round_armed.snapshot);
		pa->u.round_armed.snapshot = pb->u.round_armed.snapshot = NULL;
		break;
	case MSG_ROUND_RESULT:
		same_result(&a->u.round_result.result, &b->u.round_result.result);
		same_snapshot(a->u.round_result.snapshot, b->u.round_result.snapshot);
		result_forget(&pa->u.round_result.result);
		result_forget(&pb->u.round_result.result);
		pa->u.round_result.snapshot = pb->u.round_result.snapshot = NULL;
		break;
	case MSG_RELAY_UP:
	case MSG_RELAY_DOWN:
		SAME(&a->u.relay, &b->u.relay, data, len);
		pa->u.relay.data = pb->u.relay.data = NULL;
		break;
	case MSG_ANSWER:
		assert_string_equal(a->u.answer.json, b->u.answer.json);
		SAME(&a->u.answer, &b->u.answer, blob, blob_len);
		pa->u.answer.json = pb->u.answer.json = NULL;
		pa->u.answer.blob = pb->u.answer.blob = NULL;
		break;
	default: break;
	}
}

static void assert_same(struct msg *a, struct msg *b)
{
	struct msg *pa = mem_alloc(sizeof *pa), *pb = mem_alloc(sizeof *pb);
	memcpy(pa, a, sizeof *pa);
	memcpy(pb, b, sizeof *pb);
	assert_int_equal(a->type, b->type);
	same_owned(a, b, pa, pb);
	assert_memory_equal(pa, pb, sizeof *pa);
	free(pa);
	free(pb);
}

/* ---- tests ---- */

static void round_trip(enum msg_type type)
{
	struct err e = {{0}};
	struct buf first = {0}, second = {0};
	struct msg *m = msg_new(type);
	fillers[type](m);
	assert_int_equal(wire_encode(m, &first, &e), 0);
	struct msg *back = wire_decode(first.data, first.len, &e);
	if (!back)
		fail_msg("message type %d: %s", type, e.text);
	assert_same(m, back);
	assert_int_equal(wire_encode(back, &second, &e), 0);
	assert_int_equal(first.len, second.len);
	if (first.len)
		assert_memory_equal(first.data, second.data, first.len);
	msg_free(m);
	msg_free(back);
	buf_free(&first);
	buf_free(&second);
}

static void every_message_comes_back_as_it_was(void **state)
{
	(void)state;
	for (int type = MSG_UNKNOWN + 1; type < MSG_TYPE_COUNT; type++) {
		for (uint64_t i = 1; i <= TURNS; i++) {
			seed = i * 7919 + (uint64_t)type;
			round_trip(type);
		}
	}
}

static void a_snapshot_copy_owns_its_memory(void **state)
{
	(void)state;
	for (seed = 1; seed < 1000; seed += 77) {
		struct snapshot *s = snapshot();
		struct snapshot *c = snapshot_copy(s);
		same_snapshot(s, c);
		snapshot_free(s);
		snapshot_free(c);
	}
	assert_null(snapshot_copy(NULL));
	snapshot_free(NULL);
}

/* A cut anywhere is either refused or a shorter message; it never crashes and never leaks (sanitizers watch). */
static void truncated_and_flipped_bytes_do_no_harm(void **state)
{
	(void)state;
	for (int type = MSG_UNKNOWN + 1; type < MSG_TYPE_COUNT; type++) {
		struct buf b = {0};
		seed = 4711 + (uint64_t)type;
		struct msg *m = msg_new(type);
		fillers[type](m);
		assert_int_equal(wire_encode(m, &b, NULL), 0);
		msg_free(m);
		for (size_t cut = 0; cut < b.len; cut += 1 + b.len / 97)
			msg_free(wire_decode(b.data, cut, NULL));
		for (int i = 0; i < 300 && b.len; i++) {
			b.data[below(b.len)] ^= (char)(1 << below(8));
			msg_free(wire_decode(b.data, b.len, NULL));
		}
		buf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_message_comes_back_as_it_was),
	    cmocka_unit_test(a_snapshot_copy_owns_its_memory),
	    cmocka_unit_test(truncated_and_flipped_bytes_do_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
