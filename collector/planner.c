/* planner: the pairs and everybody's plan. Numbers are positions in one array; a seat is one agent's view of it. */
#include "collector/planner.h"

#include "proto/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define INTERVAL_MS     100
#define BUDGET_PPS      1000
#define REPORT_MS       200
#define REPORT_SMALL_MS 100
#define SMALL_FLEET     32
#define NUMBERS_RESTING 16 /* freed numbers are used again only when that many wait: late rows must not count for a new pair */
#define WEIGHT_SMALL    4  /* quarters of a packet per interval */
#define WEIGHT_RARE     1  /* large and TCP probes leave at a quarter of the pace */

struct seat {                        /* one agent */
	const struct member *member; /* of this update */
	uint64_t version, digest;
	uint32_t interval_ms;
	size_t pair_count, pair_cap;
	uint32_t *pairs;
};

struct planner {
	void (*random)(void *arg, void *out, size_t len);
	void *random_arg;
	struct planner_rates rates, asked;
	uint64_t fleet_digest; /* of what the plan was made from */
	size_t count, cap;
	struct pair *pairs;
	bool *wanted; /* parallel to pairs, during an update */
	size_t wanted_cap;
	size_t resting_count, resting_cap;
	uint32_t *resting; /* freed numbers, oldest first */
	size_t seat_count;
	struct seat *seats; /* by member id */
	struct planner_coverage coverage;
};

struct planner *planner_new(void (*random)(void *arg, void *out, size_t len), void *arg)
{
	struct planner *p = mem_alloc(sizeof(*p));
	p->random = random;
	p->random_arg = arg;
	return p;
}

/* ---- pairs ---- */

static void pair_why_clear(struct pair *q)
{
	for (size_t dir = 0; dir < 2; dir++)
		for (size_t k = 0; k < KIND_COUNT; k++) {
			free(q->why[dir][k]);
			q->why[dir][k] = NULL;
		}
}

void planner_free(struct planner *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->count; i++)
		pair_why_clear(&p->pairs[i]);
	for (size_t i = 0; i < p->seat_count; i++)
		free(p->seats[i].pairs);
	free(p->seats);
	free(p->resting);
	free(p->wanted);
	free(p->pairs);
	free(p);
}

static uint32_t number_take(struct planner *p)
{
	if (p->resting_count > NUMBERS_RESTING) {
		uint32_t number = p->resting[0];
		memmove(p->resting, p->resting + 1, --p->resting_count * sizeof(*p->resting));
		return number;
	}
	(void)VEC_ADD(p->pairs, p->count, p->cap);
	if (p->count > p->wanted_cap) {
		p->wanted_cap = p->cap;
		p->wanted = mem_resize(p->wanted, p->wanted_cap, sizeof(*p->wanted));
	}
	return (uint32_t)p->count - 1;
}

static void pair_drop(struct planner *p, uint32_t number)
{
	pair_why_clear(&p->pairs[number]);
	p->pairs[number] = (struct pair){0};
	*VEC_ADD(p->resting, p->resting_count, p->resting_cap) = number;
}

static int64_t pair_find(const struct planner *p, uint32_t a, uint32_t b)
{
	const struct seat *s = a < p->seat_count ? &p->seats[a] : NULL;
	for (size_t i = 0; s && i < s->pair_count; i++) {
		const struct pair *q = &p->pairs[s->pairs[i]];
		if (q->used && q->a == a && q->b == b)
			return s->pairs[i];
	}
	return -1;
}

static void seat_add(struct planner *p, uint32_t member, uint32_t number)
{
	struct seat *s = &p->seats[member];
	*VEC_ADD(s->pairs, s->pair_count, s->pair_cap) = number;
}

static uint32_t pair_add(struct planner *p, uint32_t a, uint32_t b)
{
	uint32_t number = number_take(p);
	struct pair *q = &p->pairs[number];
	*q = (struct pair){.used = true, .a = a, .b = b};
	p->random(p->random_arg, q->key, sizeof(q->key));
	seat_add(p, a, number);
	seat_add(p, b, number);
	return number;
}

static kind_mask pair_kinds(struct pair *q, int dir, const struct member *a, const struct member *b)
{
	const char *why[KIND_COUNT];
	kind_mask kinds = dir == 0 ? fleet_kinds(a, &q->ep_a, b, &q->ep_b, q->onlink, why)
	                           : fleet_kinds(b, &q->ep_b, a, &q->ep_a, q->onlink, why);
	for (size_t k = 0; k < KIND_COUNT; k++)
		q->why[dir][k] = mem_strdup(why[k]);
	return kinds;
}

/* Where the two stand, and what can be probed there. When that is not known any more, it stays as it was. */
static bool pair_place(struct pair *q, const struct fleet *f, const struct member *a, const struct member *b)
{
	struct endpoint ep_a = {0}, ep_b = {0};
	bool onlink;
	if (!fleet_endpoints(f, a, b, &ep_a, &ep_b, &onlink, NULL))
		return q->used && q->ep_a.ifname[0];
	q->ep_a = ep_a;
	q->ep_b = ep_b;
	q->onlink = onlink;
	pair_why_clear(q);
	for (int dir = 0; dir < 2; dir++)
		q->kinds[dir] = pair_kinds(q, dir, a, b);
	return true;
}

/* ---- which pairs ---- */

static bool is_host(const struct member *m) { return m->kind == AGENT_HOST; }

static bool guest_is_on(const struct fleet *f, const struct member *guest, const struct member *host)
{
	struct place at;
	if (fleet_place(f, guest, (struct mac){0}, &at) && at.host == host)
		return true;
	for (size_t i = 0; i < guest->endpoint_count; i++)
		if (fleet_place(f, guest, guest->last[i].mac, &at) && at.host == host)
			return true;
	return false;
}

static bool pair_is_wanted(const struct fleet *f, const struct member *a, const struct member *b)
{
	if (is_host(a) && is_host(b))
		return true;
	if (is_host(a))
		return guest_is_on(f, b, a);
	return !is_host(b) && !strcmp(a->tenant, b->tenant);
}

/* Hosts first, then by tenant and name: the order of the fleet within each kind. */
static bool comes_first(const struct member *a, const struct member *b)
{
	if (is_host(a) != is_host(b))
		return is_host(a);
	int names = strcmp(a->name, b->name);
	return names ? names < 0 : a->id < b->id;
}

static bool seat_is_full(const struct planner *p, uint32_t member) { return p->seats[member].pair_count >= PLAN_PEERS_MAX; }

static void plan_pair(struct planner *p, const struct fleet *f, const struct member *a, const struct member *b)
{
	int64_t known = pair_find(p, a->id, b->id);
	if (!pair_is_wanted(f, a, b))
		return;
	p->coverage.possible++;
	if (known < 0 && (seat_is_full(p, a->id) || seat_is_full(p, b->id)))
		return;
	struct pair fresh = {0}, *q = known < 0 ? &fresh : &p->pairs[known];
	if (!pair_place(q, f, a, b))
		return;
	if (known < 0) {
		known = pair_add(p, a->id, b->id);
		q = &p->pairs[known];
		fresh.used = true;
		fresh.a = a->id;
		fresh.b = b->id;
		memcpy(fresh.key, q->key, sizeof(fresh.key));
		*q = fresh;
	}
	p->wanted[known] = true;
	p->coverage.planned += (q->kinds[0] | q->kinds[1]) != 0;
}

static void plan_all(struct planner *p, const struct fleet *f)
{
	size_t n = fleet_count(f);
	p->coverage = (struct planner_coverage){0};
	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n; k++) {
			const struct member *x = fleet_at(f, i), *y = fleet_at(f, k);
			if (comes_first(x, y))
				plan_pair(p, f, x, y);
			else
				plan_pair(p, f, y, x);
		}
}

/* ---- seats ---- */

static void seats_reach(struct planner *p, const struct fleet *f)
{
	size_t need = p->seat_count;
	for (size_t i = 0; i < fleet_count(f); i++)
		if (fleet_at(f, i)->id >= need)
			need = (size_t)fleet_at(f, i)->id + 1;
	if (need > p->seat_count) {
		p->seats = mem_resize(p->seats, need, sizeof(*p->seats));
		memset(p->seats + p->seat_count, 0, (need - p->seat_count) * sizeof(*p->seats));
		p->seat_count = need;
	}
	for (size_t i = 0; i < need; i++)
		p->seats[i].member = fleet_by_id(f, (uint32_t)i);
}

static void seat_prune(struct planner *p, struct seat *s)
{
	size_t kept = 0;
	for (size_t i = 0; i < s->pair_count; i++)
		if (p->pairs[s->pairs[i]].used)
			s->pairs[kept++] = s->pairs[i];
	s->pair_count = kept;
}

static void pairs_prune(struct planner *p)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->pairs[i].used && !p->wanted[i])
			pair_drop(p, (uint32_t)i);
	for (size_t i = 0; i < p->seat_count; i++)
		seat_prune(p, &p->seats[i]);
}

/* ---- pace ---- */

static uint32_t kinds_weight(kind_mask kinds)
{
	uint32_t weight = 0;
	for (enum kind k = 0; k < KIND_COUNT; k++)
		if (kinds & KIND_BIT(k))
			weight += kind_info(k)->large || kind_info(k)->proto == PROTO_TCP ? WEIGHT_RARE : WEIGHT_SMALL;
	return weight;
}

static uint32_t seat_interval_ms(const struct planner *p, const struct seat *s)
{
	uint64_t weight = 0;
	for (size_t i = 0; i < s->pair_count; i++) {
		const struct pair *q = &p->pairs[s->pairs[i]];
		weight += kinds_weight(q->kinds[q->a == s->member->id ? 0 : 1]);
	}
	uint64_t per_second = (uint64_t)WEIGHT_SMALL * p->rates.budget_pps;
	uint64_t ms = (weight * 1000 + per_second - 1) / per_second;
	return ms > p->rates.interval_ms ? (uint32_t)ms : p->rates.interval_ms;
}

static uint32_t or_default(uint32_t asked, uint32_t otherwise) { return asked ? asked : otherwise; }

static void rates_update(struct planner *p, const struct fleet *f)
{
	p->rates.interval_ms = or_default(p->asked.interval_ms, INTERVAL_MS);
	p->rates.budget_pps = or_default(p->asked.budget_pps, BUDGET_PPS);
	p->rates.report_ms = or_default(p->asked.report_ms, fleet_count(f) <= SMALL_FLEET ? REPORT_SMALL_MS : REPORT_MS);
}

/* ---- plans ---- */

static void peer_fill(const struct planner *p, const struct seat *s, uint32_t number, struct peer *out)
{
	const struct pair *q = &p->pairs[number];
	bool is_a = q->a == s->member->id;
	const struct seat *far = &p->seats[is_a ? q->b : q->a];
	const struct member *other = far->member;
	/* who has many peers answers as many: the slower of the two sets the pace */
	*out = (struct peer){.pair = number, .is_a = is_a};
	out->interval_ms = far->interval_ms > s->interval_ms ? far->interval_ms : s->interval_ms;
	memcpy(out->key, q->key, sizeof(out->key));
	out->self = is_a ? q->ep_a : q->ep_b;
	out->other = is_a ? q->ep_b : q->ep_a;
	out->kinds = q->kinds[is_a ? 0 : 1];
	out->port = (uint16_t)or_default(other->hello.probe_port, PROBE_PORT_DEFAULT);
	out->bind_device = fleet_binds_device(s->member, &out->self, other, &out->other, q->onlink);
	memcpy(out->name, other->name, sizeof(out->name));
}

static uint64_t digest_bytes(uint64_t h, const void *data, size_t len)
{
	const uint8_t *b = data;
	while (len--)
		h = (h ^ *b++) * 0x100000001b3u;
	return h;
}
#define DIGEST_START     0xcbf29ce484222325u
#define DIGEST(h, field) ((h) = digest_bytes((h), &(field), sizeof(field)))

static uint64_t digest_endpoint(uint64_t h, const struct endpoint *e)
{
	h = digest_bytes(h, e->ifname, strlen(e->ifname) + 1);
	DIGEST(h, e->mac);
	DIGEST(h, e->ip4);
	DIGEST(h, e->ip6);
	return DIGEST(h, e->mtu);
}

static uint64_t digest_peer(uint64_t h, const struct peer *q)
{
	DIGEST(h, q->pair);
	DIGEST(h, q->key);
	DIGEST(h, q->port);
	DIGEST(h, q->kinds);
	DIGEST(h, q->interval_ms);
	DIGEST(h, q->bind_device);
	return digest_endpoint(digest_endpoint(h, &q->self), &q->other);
}

static bool seat_update(const struct planner *p, struct seat *s)
{
	uint64_t h = DIGEST_START;
	for (size_t i = 0; i < s->pair_count; i++) {
		struct peer q;
		peer_fill(p, s, s->pairs[i], &q);
		h = digest_peer(h, &q);
	}
	DIGEST(h, p->rates.report_ms);
	DIGEST(h, p->rates.budget_pps);
	if (h == s->digest)
		return false;
	s->digest = h;
	s->version++;
	return true;
}

static uint64_t fleet_digest(const struct planner *p, const struct fleet *f)
{
	uint64_t h = digest_bytes(DIGEST_START, &p->asked, sizeof(p->asked));
	for (size_t i = 0; i < fleet_count(f); i++) {
		const struct member *m = fleet_at(f, i);
		DIGEST(h, m->id);
		DIGEST(h, m->key);
		DIGEST(h, m->version);
	}
	return h;
}

bool planner_update(struct planner *p, const struct fleet *f)
{
	uint64_t digest = fleet_digest(p, f);
	bool changed = false;
	if (digest == p->fleet_digest)
		return false;
	p->fleet_digest = digest;
	rates_update(p, f);
	seats_reach(p, f);
	if (p->count)
		memset(p->wanted, 0, p->count * sizeof(*p->wanted));
	plan_all(p, f);
	pairs_prune(p);
	for (size_t i = 0; i < p->seat_count; i++)
		if (p->seats[i].member)
			p->seats[i].interval_ms = seat_interval_ms(p, &p->seats[i]);
	for (size_t i = 0; i < p->seat_count; i++)
		if (p->seats[i].member)
			changed |= seat_update(p, &p->seats[i]);
	return changed;
}

/* ---- answers ---- */

size_t planner_count(const struct planner *p) { return p->count; }

const struct pair *planner_pair(const struct planner *p, uint32_t number)
{
	return number < p->count && p->pairs[number].used ? &p->pairs[number] : NULL;
}

int64_t planner_find(const struct planner *p, uint32_t a, uint32_t b, bool *swapped)
{
	int64_t number = pair_find(p, a, b);
	if (swapped)
		*swapped = number < 0;
	return number < 0 ? pair_find(p, b, a) : number;
}

void planner_plan_of(const struct planner *p, const struct fleet *f, uint32_t member, struct plan *out)
{
	*out = (struct plan){0};
	const struct seat *s = member < p->seat_count && fleet_by_id(f, member) ? &p->seats[member] : NULL;
	out->report_ms = or_default(p->rates.report_ms, REPORT_MS);
	out->budget_pps = or_default(p->rates.budget_pps, BUDGET_PPS);
	if (!s || !s->member)
		return;
	out->version = s->version;
	out->peers = mem_array(s->pair_count + 1, sizeof(*out->peers));
	for (size_t i = 0; i < s->pair_count; i++)
		peer_fill(p, s, s->pairs[i], &out->peers[out->peer_count++]);
}

uint64_t planner_version_of(const struct planner *p, uint32_t member)
{
	return member < p->seat_count ? p->seats[member].version : 0;
}

void planner_rates(struct planner *p, struct planner_rates r) { p->asked = r; }

struct planner_coverage planner_coverage(const struct planner *p) { return p->coverage; }
