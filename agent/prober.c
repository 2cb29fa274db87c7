/* prober: what the kinds share. One timer carries watch, rounds and housekeeping; one place proves what arrives; one place
 * tells watch or exec what became of a probe. */
#include "agent/facts/facts.h"
#include "agent/probe_ops.h"
#include "proto/base/mem.h"
#include "proto/model/dossier.h"

#include <errno.h>
#include <linux/icmpv6.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH              32
#define BATCHES_MAX        8 /* per tick; then others have their turn */
#define REPLIES_PPS        2000
#define REPLIES_BURST      200
#define REPLIES_PAIR_PPS   300
#define REPLIES_PAIR_BURST 150
#define TOKEN              1000000LL
#define NEIGH_FIRST_MS     60 /* after sending: has the neighbour resolved by now? */
#define NEIGH_AGAIN_MS     70
#define NEIGH_LOOKS        2
#define HOUSE_MS           40
#define PORT_TRIES         8
#define CROWDED_MS         400 /* planned so rarely, there are many: not each of them asks everybody for its neighbours */
#define CROWDED_ASKS       8   /* but every eighth time */
#define NEVER              ((struct mono){INT64_MAX})

static const struct {
	enum proto proto;
	int family; /* 0: both */
	const struct probe_ops *ops;
} kinds_table[] = {
    {PROTO_NEIGH, 4, &probe_arp_ops}, {PROTO_NEIGH, 6, &probe_nd_ops}, {PROTO_ICMP, 0, &probe_icmp_ops},
    {PROTO_UDP, 0, &probe_udp_ops},   {PROTO_TCP, 0, &probe_tcp_ops},
};
#define OPS_COUNT (sizeof(kinds_table) / sizeof(kinds_table[0]))

static const struct probe_ops *ops_of(uint8_t kind)
{
	const struct kind_info *k = kind_info(kind);
	for (size_t i = 0; i < OPS_COUNT; i++)
		if (kinds_table[i].proto == k->proto && (!kinds_table[i].family || kinds_table[i].family == k->family))
			return kinds_table[i].ops;
	return NULL;
}

bool flow_is_ours(const struct round_spec *s, const struct flow *f) { return s->endpoint && f->dir == (s->is_a ? 0 : 1); }

static struct mono earlier(struct mono a, struct mono b) { return mono_before(a, b) ? a : b; }

/* On the grid that all our probes leave by. */
static struct mono poll_next(struct mono now)
{
	int64_t grid = WATCH_TICK_MS * 1000000LL;
	return (struct mono){(now.ns / grid + 1) * grid};
}

static struct round_slot *round_find(struct prober *p, const struct exec *x)
{
	for (size_t i = 0; i < p->round_count; i++)
		if (p->rounds[i]->x == x)
			return p->rounds[i];
	return NULL;
}

/* ---- proof ---- */

static bool prove_round(struct prober *p, bool ours, struct proof *f)
{
	for (size_t i = 0; i < p->round_count; i++) {
		const struct round_spec *s = exec_spec(p->rounds[i]->x);
		const struct probe_header *h = &f->header;
		if (s->id != h->round || s->pair != h->pair || h->flow >= s->flow_count)
			continue;
		const struct flow *flow = &s->flows[h->flow];
		if (flow->kind != h->kind || flow->dir != h->dir || h->seq >= flow->count || flow_is_ours(s, flow) != ours)
			return false;
		f->round = p->rounds[i];
		f->x = p->rounds[i]->x;
		f->flow = flow;
		f->key = s->key;
		return s->endpoint;
	}
	return false;
}

static bool prove_watch(struct prober *p, bool ours, struct proof *f)
{
	f->peer = watch_peer(p->watch, f->header.pair);
	if (!f->peer || (f->header.dir == (f->peer->is_a ? 0 : 1)) != ours)
		return false;
	f->key = f->peer->key;
	return true;
}

static bool header_fits(const struct probe_header *h, enum proof_kind want, enum proto proto, int family)
{
	const struct kind_info *k = kind_info(h->kind);
	return k->proto == proto && k->family == family && h->answer == (want == PROOF_ANSWER);
}

/* Raw and packet sockets see what is meant for others, too: only what came to our own port is counted as rejected. */
bool prober_prove(struct prober *p, const void *data, size_t len, enum proof_kind want, enum proto proto, int family,
                  struct proof *out)
{
	bool ours = want != PROOF_PROBE;
	*out = (struct proof){0};
	if (probe_read(data, len, &out->header) == 0 && header_fits(&out->header, want, proto, family) &&
	    (out->header.round ? prove_round(p, ours, out) : prove_watch(p, ours, out)) && probe_proven(data, out->key))
		return true;
	p->stats.rejected += proto == PROTO_UDP || proto == PROTO_TCP || out->key;
	return false;
}

struct probe_id proof_id(const struct proof *f)
{
	const struct probe_header *h = &f->header;
	return (struct probe_id){.x = f->x, .pair = h->pair, .epoch = h->epoch, .kind = h->kind, .flow = h->flow, .seq = h->seq};
}

bool proof_bind_device(const struct prober *p, const struct proof *f)
{
	(void)p;
	if (f->peer)
		return f->peer->bind_device;
	const struct round_spec *s = exec_spec(f->x);
	for (size_t i = 0; i < s->flow_count; i++)
		if (flow_is_ours(s, &s->flows[i]) && s->flows[i].bind_device)
			return true;
	return false;
}

static bool budget_take(struct reply_budget *b, int64_t pps, int64_t burst, struct mono now)
{
	int64_t us = mono_us_since(b->refilled, now), most = burst * TOKEN;
	b->tokens += us > 1000000 ? most : us * pps;
	b->tokens = b->tokens > most ? most : b->tokens;
	b->refilled = now;
	if (b->tokens < TOKEN)
		return false;
	b->tokens -= TOKEN;
	return true;
}

bool prober_may_reply(struct prober *p, const struct proof *f)
{
	struct mono now = mono_now();
	struct reply_budget *own = &p->replies_of[f->header.pair % REPLY_PAIRS];
	if (budget_take(own, REPLIES_PAIR_PPS, REPLIES_PAIR_BURST, now) &&
	    budget_take(&p->replies, REPLIES_PPS, REPLIES_BURST, now))
		return true;
	p->stats.limited++;
	return false;
}

/* ---- what routers say of the watch's probes ---- */

static struct ip asked_ip(struct prober *p, const struct probe_id *id)
{
	const struct peer *peer = watch_peer(p->watch, id->pair);
	return !peer ? (struct ip){0} : kind_info(id->kind)->family == 4 ? peer->other.ip4.ip : peer->other.ip6.ip;
}

static void word_end(struct prober *p, const struct probe_id *id)
{
	words_forget(&p->words, asked_ip(p, id), kind_info(id->kind)->proto);
}

static void word_take(struct prober *p, const struct probe_id *id, const struct rx *rx)
{
	struct word said = {.dst = asked_ip(p, id),
	                    .from = rx->offender,
	                    .proto = kind_info(id->kind)->proto,
	                    .type = rx->type,
	                    .code = rx->code,
	                    .at = mono_now()};
	words_note(&p->words, &said);
	const struct word *kept = words_find(&p->words, said.dst, said.proto, said.at);
	for (size_t i = 0; kept && i < p->round_count; i++)
		exec_word(p->rounds[i]->x, kept);
}

/* ---- telling ---- */

void prober_arrived(struct prober *p, const struct proof *f, struct ip from, int ttl)
{
	if (f->x)
		exec_received(f->x, f->header.flow, f->header.seq, from, (uint8_t)ttl, mono_now());
	else
		watch_received(p->watch, &f->header, mono_now());
}

void prober_replied(struct prober *p, const struct proof *f, int error)
{
	(void)p;
	if (f->x)
		exec_replied(f->x, f->header.flow, f->header.seq, error);
}

static void round_heard(struct prober *p, const struct probe_id *id)
{
	struct round_slot *r = round_find(p, id->x);
	if (r)
		r->heard |= 1ull << id->flow;
}

void prober_told(struct prober *p, const struct probe_id *id, enum told how, struct mac from)
{
	static const enum exec_answer in_round[] = {EXEC_ANSWERED, EXEC_REFUSED, EXEC_RESET, EXEC_IMPOSTOR};
	static const enum watch_answer in_watch[] = {WATCH_ANSWERED, WATCH_REFUSED, WATCH_REFUSED, WATCH_IMPOSTOR};
	if (!id->x) {
		if (how == TOLD_ANSWERED)
			word_end(p, id);
		watch_answered(p->watch, id->pair, id->kind, id->epoch, id->seq, in_watch[how],
		               mono_add_us(mono_now(), -(int64_t)p->age_us));
		return;
	}
	round_heard(p, id);
	exec_answered(id->x, id->flow, id->seq, in_round[how], from, mono_now());
}

void prober_told_unresolved(struct prober *p, const struct probe_id *id)
{
	(void)p; /* the watch sees it as what it is: no answer */
	if (id->x)
		exec_unresolved(id->x, id->flow);
}

/* Our own kernel's "host unreachable": the neighbour did not resolve. Nobody refused anything. */
static bool blames_own_neighbour(struct prober *p, const struct probe_id *id, const struct rx *rx)
{
	struct ip own = {0};
	if (!rx->is_icmp)
		return rx->error == EHOSTUNREACH;
	const struct peer *peer = id->x ? NULL : watch_peer(p->watch, id->pair);
	int family = kind_info(id->kind)->family;
	if (id->x)
		own = exec_spec(id->x)->flows[id->flow].src;
	else if (peer)
		own = family == 4 ? peer->self.ip4.ip : peer->self.ip6.ip;
	bool host =
	    family == 4 ? rx->type == 3 && rx->code == 1 : rx->type == ICMPV6_DEST_UNREACH && rx->code == ICMPV6_ADDR_UNREACH;
	return host && (ip_equal(rx->offender, own) || ip_is_loopback(rx->offender));
}

/* What was said before the round began. */
static void words_tell(const struct prober *p, struct exec *x)
{
	const struct round_spec *spec = exec_spec(x);
	for (size_t i = 0; i < spec->flow_count; i++) {
		const struct flow *f = &spec->flows[i];
		const struct word *said = words_find(&p->words, f->dst, kind_info(f->kind)->proto, mono_now());
		if (said)
			exec_word(x, said);
	}
}

void prober_told_error(struct prober *p, const struct probe_id *id, const struct rx *rx)
{
	if (blames_own_neighbour(p, id, rx)) {
		prober_told_unresolved(p, id);
		return;
	}
	if (!rx->is_icmp)
		return; /* sending said so, too */
	if (!id->x) {
		word_take(p, id, rx);
		watch_answered(p->watch, id->pair, id->kind, id->epoch, id->seq, WATCH_REFUSED, mono_now());
		return;
	}
	round_heard(p, id);
	exec_icmp_error(id->x, id->flow, id->seq, rx->type, rx->code, rx->info, rx->offender, mono_now());
}

static uint16_t smaller(uint16_t size, uint32_t mtu) { return mtu && mtu < size ? (uint16_t)mtu : size; }

/* ---- the watch ---- */

static struct shot watch_shot(const struct watch_probe *w)
{
	const struct peer *e = w->peer;
	const struct probe_header *h = &w->header;
	const struct kind_info *k = kind_info(h->kind);
	struct shot s = {.id = {.pair = h->pair, .epoch = h->epoch, .kind = h->kind, .seq = h->seq},
	                 .src = k->family == 4 ? e->self.ip4.ip : e->self.ip6.ip,
	                 .dst = k->family == 4 ? e->other.ip4.ip : e->other.ip6.ip,
	                 .dst_mac = e->other.mac,
	                 .bind_device = e->bind_device,
	                 .dport = e->port};
	s.unicast = e->interval_ms >= CROWDED_MS && mac_is_set(s.dst_mac) && (h->epoch + h->seq) % CROWDED_ASKS;
	str_copy(s.ifname, sizeof(s.ifname), e->self.ifname);
	if (k->large) {
		uint32_t mtu = device_mtu(e->self.ifname); /* as it is now: the plan may be older */
		s.size = smaller(UINT16_MAX, mtu ? mtu : e->self.mtu);
	}
	probe_write(h, e->key, s.header);
	return s;
}

static void watch_send(struct prober *p, const struct watch_probe *w, struct mono now)
{
	struct shot s = watch_shot(w);
	const struct probe_ops *ops = ops_of(w->header.kind);
	int error = s.dst.family ? ops->send(p, &s) : EDESTADDRREQ;
	watch_sent(p->watch, &w->header, error, now);
}

static void watch_step(struct prober *p, struct mono now)
{
	struct watch_probe due[BATCH];
	for (int batch = 0; batch < BATCHES_MAX; batch++) {
		size_t n = watch_due(p->watch, now, due, BATCH);
		for (size_t i = 0; i < n; i++)
			watch_send(p, &due[i], now);
		if (n < BATCH)
			return;
	}
}

/* ---- rounds ---- */

static bool neighbour_is_down(const struct flow *f)
{
	uint16_t state = facts_neigh_state(f->dst, f->ifname[0] ? f->ifname : NULL, f->src);
	return state & (NEIGH_INCOMPLETE | NEIGH_FAILED);
}

static struct shot round_shot(const struct round_slot *r, const struct exec_probe *e)
{
	const struct flow *f = e->flow;
	struct shot s = {.id = {.x = r->x, .pair = e->header.pair, .kind = f->kind, .flow = f->id, .seq = e->seq},
	                 .src = f->src,
	                 .dst = f->dst,
	                 .dst_mac = f->dst_mac,
	                 .bind_device = f->bind_device,
	                 .directed = e->directed,
	                 .dport = f->dport,
	                 .size = e->size,
	                 .id_base = f->id_base,
	                 .ports = f->ports,
	                 .ttl = f->ttl,
	                 .fragments = kind_info(f->kind)->fragments};
	str_copy(s.ifname, sizeof(s.ifname), f->ifname);
	if (kind_info(f->kind)->large && !f->ladder) /* "large" is what our interface can carry now */
		s.size = smaller(e->size, device_mtu(f->ifname));
	probe_write(&e->header, exec_spec(r->x)->key, s.header);
	return s;
}

static void round_send(struct prober *p, struct round_slot *r, const struct exec_probe *e, struct mono now)
{
	const struct flow *f = e->flow;
	struct shot s = round_shot(r, e);
	struct mono at = f->timed ? mono_now() : now;
	int error = s.dst.family ? ops_of(f->kind)->send(p, &s) : EDESTADDRREQ;
	exec_sent(r->x, f->id, e->seq, e->directed, error, at);
	bool by_kernel = !e->directed && kind_info(f->kind)->proto != PROTO_NEIGH;
	if (by_kernel && error == EHOSTUNREACH && neighbour_is_down(f)) /* an "unreachable" route says the same errno */
		exec_unresolved(r->x, f->id);
	if (by_kernel && f->onlink && e->seq == 0)
		r->look_at[f->id] = mono_add_ms(now, NEIGH_FIRST_MS);
}

/* Silence after sending: is it our own neighbour table? Asked twice; a slow neighbour is not a missing one. */
static void round_look(struct round_slot *r, struct mono now)
{
	const struct round_spec *s = exec_spec(r->x);
	for (size_t i = 0; i < s->flow_count; i++) {
		if (r->look_at[i].ns == 0 || !mono_reached(r->look_at[i], now))
			continue;
		bool silent = !(r->heard >> i & 1), down = silent && neighbour_is_down(&s->flows[i]);
		bool again = silent && !down && ++r->looks[i] < NEIGH_LOOKS;
		r->look_at[i] = again ? mono_add_ms(now, NEIGH_AGAIN_MS) : (struct mono){0};
		if (down)
			exec_unresolved(r->x, (uint8_t)i);
	}
}

/* False when a stage ended: the callback may have changed the set of rounds. */
static bool round_step(struct prober *p, struct round_slot *r, struct mono now)
{
	struct exec_probe due[BATCH];
	enum stage stage;
	size_t n;
	round_look(r, now);
	for (int batch = 0; batch < BATCHES_MAX && (n = exec_due(r->x, now, due, BATCH)) > 0; batch++)
		for (size_t i = 0; i < n; i++)
			round_send(p, r, &due[i], now);
	if (!exec_stage_over(r->x, now, &stage))
		return true;
	memset(r->look_at, 0, sizeof(r->look_at));
	if (p->stage_fn)
		p->stage_fn(p->stage_arg, r->x, stage);
	return false;
}

static void rounds_step(struct prober *p, struct mono now)
{
	for (size_t i = 0; i < p->round_count; i++)
		if (!round_step(p, p->rounds[i], now))
			return; /* the timer comes back at once for the others */
}

static struct mono round_next(const struct round_slot *r)
{
	struct mono next = exec_next(r->x);
	for (size_t i = 0; i < exec_spec(r->x)->flow_count; i++)
		if (r->look_at[i].ns)
			next = earlier(next, r->look_at[i]);
	return next;
}

/* ---- the timer ---- */

static struct mono prober_next(const struct prober *p)
{
	struct mono next = earlier(watch_next(p->watch), p->house_at);
	if (p->lazy)
		next = earlier(next, poll_next(mono_now()));
	for (size_t i = 0; i < p->round_count; i++)
		next = earlier(next, round_next(p->rounds[i]));
	return next;
}

void prober_arm(struct prober *p)
{
	if (p->in_tick)
		return;
	struct mono next = prober_next(p);
	if (!mono_before(next, p->armed))
		return;
	int64_t us = mono_us_since(mono_now(), next);
	p->armed = next;
	loop_timer_arm(p->timer, us > 0 ? us + 1 : 0);
}

void prober_busy(struct prober *p)
{
	struct mono soon = poll_next(mono_add_ms(mono_now(), HOUSE_MS - WATCH_TICK_MS));
	p->house_at = earlier(p->house_at, soon);
}

static void house_step(struct prober *p, struct mono now)
{
	if (!mono_reached(p->house_at, now))
		return;
	p->house_at = NEVER;
	for (size_t i = 0; i < OPS_COUNT; i++) {
		int64_t ms = kinds_table[i].ops->tick ? kinds_table[i].ops->tick(p, now) : 0;
		if (ms)
			p->house_at = earlier(p->house_at, poll_next(mono_add_ms(now, ms - WATCH_TICK_MS)));
	}
}

static void prober_tick(void *arg)
{
	struct prober *p = arg;
	struct mono now = mono_now();
	p->armed = NEVER;
	p->in_tick = true;
	gather_run(p->gather);
	rounds_step(p, now);
	watch_step(p, now);
	house_step(p, now);
	p->in_tick = false;
	prober_arm(p);
}

/* ---- the door ---- */

static bool may_open(int type)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, IPPROTO_ICMP);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void find_rights(struct prober *p)
{
	p->raw = may_open(SOCK_RAW);
	p->echo = may_open(SOCK_DGRAM); /* who may is said by net.ipv4.ping_group_range */
	if (!p->raw)
		str_copy(p->raw_why, sizeof(p->raw_why), "no right to open raw sockets (CAP_NET_RAW)");
}

static int open_all(struct prober *p, struct err *e)
{
	for (size_t i = 0; i < OPS_COUNT; i++)
		if (kinds_table[i].ops->open && kinds_table[i].ops->open(p, e) < 0)
			return -1;
	return 0;
}

static void close_all(struct prober *p)
{
	for (size_t i = 0; i < OPS_COUNT; i++)
		if (kinds_table[i].ops->close)
			kinds_table[i].ops->close(p);
	frames_close(p);
}

struct prober *prober_new(struct loop *l, struct watch *w, uint16_t port, struct err *e)
{
	struct prober *p = mem_alloc(sizeof(*p));
	*p = (struct prober){.watch = w, .armed = NEVER, .house_at = NEVER};
	p->gather = gather_new(l, e);
	if (!p->gather) {
		free(p);
		return NULL;
	}
	find_rights(p);
	p->timer = loop_timer(l, prober_tick, p);
	for (int tries = port ? 1 : PORT_TRIES; tries > 0; tries--) { /* a free UDP port may be taken for TCP */
		p->port = port;
		if (open_all(p, e) == 0) {
			prober_plan_changed(p);
			return p;
		}
		close_all(p);
	}
	prober_free(p);
	return NULL;
}

void prober_free(struct prober *p)
{
	if (!p)
		return;
	close_all(p);
	for (size_t i = 0; i < p->round_count; i++)
		free(p->rounds[i]);
	loop_remove(p->timer);
	gather_free(p->gather);
	free(p);
}

uint16_t prober_port(const struct prober *p) { return p->port; }
struct prober_stats prober_stats(const struct prober *p) { return p->stats; }

uint32_t prober_rights(const struct prober *p, char *why, size_t size)
{
	str_copy(why, size, p->raw_why);
	return p->raw ? RIGHT_RAW | RIGHT_ECHO : p->echo ? RIGHT_ECHO : 0;
}

/* Where more arrives than there are ticks, looking with each tick costs less than waking for each; not while a round waits for
 * what comes. */
static void pace_update(struct prober *p)
{
	const struct plan *plan = watch_current(p->watch);
	uint64_t per_second = 0;
	for (size_t i = 0; i < plan->peer_count; i++)
		if (plan->peers[i].interval_ms)
			per_second += 1000u * (unsigned)__builtin_popcount(plan->peers[i].kinds) / plan->peers[i].interval_ms;
	p->lazy = p->round_count == 0 && per_second >= 1000 / WATCH_TICK_MS;
	gather_eager(p->gather, !p->lazy);
}

void prober_drain(struct prober *p) { gather_run(p->gather); }

void prober_plan_changed(struct prober *p)
{
	devices_forget();
	for (size_t i = 0; i < OPS_COUNT; i++)
		if (kinds_table[i].ops->plan_changed)
			kinds_table[i].ops->plan_changed(p);
	p->armed = NEVER;
	pace_update(p);
	prober_arm(p);
}

int prober_round_add(struct prober *p, struct exec *x, struct err *e)
{
	if (p->round_count == ROUNDS_MAX)
		return err_set(e, "%d rounds are running already", ROUNDS_MAX);
	struct round_slot *r = p->rounds[p->round_count++] = mem_alloc(sizeof(*r));
	r->x = x;
	devices_forget();
	pace_update(p);
	for (size_t i = 0; i < OPS_COUNT; i++)
		if (kinds_table[i].ops->round_add)
			kinds_table[i].ops->round_add(p, r);
	words_tell(p, x);
	return 0;
}

void prober_round_remove(struct prober *p, struct exec *x)
{
	struct round_slot *r = round_find(p, x);
	if (!r)
		return;
	for (size_t i = 0; i < p->round_count; i++)
		if (p->rounds[i] == r)
			p->rounds[i] = p->rounds[--p->round_count];
	for (size_t i = 0; i < OPS_COUNT; i++)
		if (kinds_table[i].ops->round_remove)
			kinds_table[i].ops->round_remove(p, x);
	questions_forget(p, x);
	free(r);
	pace_update(p);
	prober_arm(p);
}

void prober_round_kick(struct prober *p, struct exec *x)
{
	(void)x;
	prober_arm(p);
}

void prober_on_stage(struct prober *p, prober_stage_fn *fn, void *arg)
{
	p->stage_fn = fn;
	p->stage_arg = arg;
}
