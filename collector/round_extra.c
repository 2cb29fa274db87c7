/* round_extra: the stages of a round that run only when what came before asks for them, as one table. Their flows are armed with
 * all others, stand behind them, and are aside of the matrix; agents older than them are not told of them. */
#include "collector/round_parts.h"

#define PORTS_SWEPT  8
#define SWEEP_PROBES (4 * PORTS_SWEPT) /* each port four times: one lost packet is no dead path */
#define SWEEP_GAP_MS 2
#define TRAIN_FLOWS  6   /* each with a port of its own */
#define TRAIN_GAP_MS 6   /* all of them together: a thousand packets a second */
#define TRAIN_SIZE   300 /* what a capture keeps of a frame */
/* Answers are rationed. The last probe asks for one: until that is back all are waited for. */
#define TRAIN_ASKS     3
#define BURST_ASKS     21
#define TRAIN_REPEATED 3    /* fewer copies are chance */
#define TRAIN_SLOW_US  2000 /* worth a look; what is called slow is decided by the train */
#define HOPS_TTL       64
#define HOPS_PROBES    2
#define LADDER_GAP_MS  4
#define FRAGMENT_EXTRA 600   /* beyond what fits: two fragments */
#define MTU_TOO_LARGE  32768 /* of a link like this nothing leaves in fragments */

#define SMALL_KINDS                                                                                                                \
	(KIND_BIT(KIND_ICMP) | KIND_BIT(KIND_ICMP6) | KIND_BIT(KIND_UDP) | KIND_BIT(KIND_UDP6) | KIND_BIT(KIND_TCP) |              \
	 KIND_BIT(KIND_TCP6))
#define LARGE_KINDS (KIND_BIT(KIND_ICMP_LARGE) | KIND_BIT(KIND_UDP_LARGE) | KIND_BIT(KIND_ICMP_LARGE6) | KIND_BIT(KIND_UDP_LARGE6))
#define PORT_KINDS                                                                                                                 \
	(KIND_BIT(KIND_UDP) | KIND_BIT(KIND_UDP6) | KIND_BIT(KIND_TCP) | KIND_BIT(KIND_TCP6) | KIND_BIT(KIND_UDP_LARGE) |          \
	 KIND_BIT(KIND_UDP_LARGE6))

/* ---- when ---- */

static kind_mask alike(int proto, int family, kind_mask among)
{
	kind_mask m = 0;
	for (int k = 0; k < KIND_COUNT; k++) {
		const struct kind_info *info = kind_info((enum kind)k);
		if (among & KIND_BIT(k) && (int)info->proto == proto && info->family == family)
			m |= KIND_BIT(k);
	}
	return m;
}

/* Large probes stayed unanswered where small ones of the same protocol did not. */
static bool wants_ladder(const struct round *r, const struct participant *p)
{
	(void)r;
	for (int k = 0; k < KIND_COUNT; k++) {
		const struct kind_info *info = kind_info((enum kind)k);
		if (p->unanswered & LARGE_KINDS & KIND_BIT(k) && !(p->unanswered & alike(info->proto, info->family, SMALL_KINDS)))
			return true;
	}
	return false;
}

/* Some of what has ports got through and some did not: is it the flow that decides, or chance? */
static bool wants_ports(const struct round *r, const struct participant *p)
{
	kind_mask whole = p->silent & PORT_KINDS, partly = p->unanswered & ~p->silent & PORT_KINDS;
	(void)r;
	return partly && !(whole & ~LARGE_KINDS);
}

/* Nothing small gets through where somebody routes: it may have run out of hops. */
static bool wants_hops(const struct round *r, const struct participant *p)
{
	return !r->onlink && p->silent & (KIND_BIT(KIND_UDP) | KIND_BIT(KIND_UDP6));
}

/* ---- what ---- */

static struct flow *aside(struct round *r, enum kind kind, int dir, enum stage stage)
{
	struct flow *f = round_flow_add(r, kind, dir);
	if (f)
		f->stage = (uint8_t)stage;
	return f;
}

static void ladder_flow(struct round *r, enum kind kind, int dir)
{
	struct flow *f = aside(r, kind, dir, STAGE_LADDER);
	if (!f)
		return;
	f->ladder = true;
	f->count = LADDER_COUNT;
	f->gap_ms = LADDER_GAP_MS;
	f->size = 0;
}

static void ports_flow(struct round *r, enum kind kind, int dir)
{
	struct flow *f = aside(r, kind, dir, STAGE_PORTS);
	if (!f)
		return;
	f->ports = PORTS_SWEPT;
	f->count = SWEEP_PROBES;
	f->gap_ms = SWEEP_GAP_MS;
}

static void hops_flow(struct round *r, enum kind kind, int dir)
{
	struct flow *f = r->onlink ? NULL : aside(r, kind, dir, STAGE_HOPS);
	if (!f)
		return;
	f->ttl = HOPS_TTL;
	f->count = HOPS_PROBES;
}

/* ---- quality ---- */

_Static_assert((FLOW_PROBES_MAX - 1) % TRAIN_ASKS == 0 && (FLOW_PROBES_MAX - 1) % BURST_ASKS == 0, "the last one asks");

/* Some arrive and some do not, or twice, or late; and the way is open at all. A train is a few hundred small packets in less than
 * half a second, the bursts are as much as any TCP connection begins with. */
static bool wants_train(const struct round *r, const struct participant *p)
{
	uint32_t usual = r->ask.usual_us[p == &r->part[PARTY_B]], slow = usual ? 2 * usual : TRAIN_SLOW_US;
	if ((p->silent & SMALL_KINDS) == (p->unanswered & SMALL_KINDS) && p->silent & SMALL_KINDS)
		return false;
	return r->ask.deep || p->unanswered & ~p->silent || p->repeated >= TRAIN_REPEATED ||
	       (p->rtt_us > slow && p->rtt_us > usual + TRAIN_SLOW_US);
}

/* One family is enough. */
static bool train_kind(const struct round *r, enum kind kind, int dir)
{
	return kind_info(kind)->family == 4 || !(r->kinds[dir] & (KIND_BIT(KIND_UDP) | KIND_BIT(KIND_UDP_LARGE)));
}

/* They have more probes than others: their identifiers are further apart. */
static struct flow *timed(struct round *r, enum kind kind, int dir, enum stage stage)
{
	size_t before = 0;
	for (size_t i = 0; i < r->flow_count; i++)
		before += r->flows[i].timed;
	struct flow *f = aside(r, kind, dir, stage);
	if (!f)
		return NULL;
	f->timed = true;
	f->ports = 1;
	f->count = FLOW_PROBES_MAX;
	f->id_base = (uint16_t)(f->id_base + before * (FLOW_PROBES_MAX - ID_STRIDE));
	return f;
}

static void train_flow(struct round *r, enum kind kind, int dir)
{
	for (int i = 0; i < TRAIN_FLOWS && train_kind(r, kind, dir); i++) {
		struct flow *f = timed(r, kind, dir, STAGE_TRAIN);
		if (!f)
			return;
		f->asks = TRAIN_ASKS;
		f->gap_ms = TRAIN_GAP_MS;
		f->size = TRAIN_SIZE;
	}
}

static void burst_flow(struct round *r, enum kind kind, int dir)
{
	struct flow *f = train_kind(r, kind, dir) ? timed(r, kind, dir, dir == 0 ? STAGE_BURST_A : STAGE_BURST_B) : NULL;
	if (!f)
		return;
	f->asks = BURST_ASKS;
	f->gap_ms = 0;
}

static void burst_a(struct round *r, enum kind kind, int dir)
{
	if (dir == 0)
		burst_flow(r, kind, dir);
}

static void burst_b(struct round *r, enum kind kind, int dir)
{
	if (dir == 1)
		burst_flow(r, kind, dir);
}

#define LARGE_UDP (KIND_BIT(KIND_UDP_LARGE) | KIND_BIT(KIND_UDP_LARGE6))
#define SMALL_UDP (KIND_BIT(KIND_UDP) | KIND_BIT(KIND_UDP6))

static const struct extra {
	enum stage stage;
	uint8_t since;   /* protocol version that knows it */
	kind_mask kinds; /* one flow of each */
	bool (*wanted)(const struct round *r, const struct participant *p /* who sends */);
	void (*flow)(struct round *r, enum kind kind, int dir);
} extras[] = {
    {STAGE_LADDER, 1, LARGE_KINDS, wants_ladder, ladder_flow},
    {STAGE_PORTS, 4, SMALL_UDP, wants_ports, ports_flow},
    {STAGE_HOPS, 4, SMALL_UDP, wants_hops, hops_flow},
    {STAGE_BURST_A, 4, LARGE_UDP, wants_train, burst_a},
    {STAGE_BURST_B, 4, LARGE_UDP, wants_train, burst_b},
    {STAGE_TRAIN, 4, SMALL_UDP, wants_train, train_flow}, /* stands last: it takes what room there is */
};
#define EXTRAS (sizeof extras / sizeof *extras)

/* ---- the flows of both directions ---- */

static bool both_speak(const struct round *r, uint8_t version)
{
	return r->part[PARTY_A].member->hello.version_max >= version && r->part[PARTY_B].member->hello.version_max >= version;
}

static void extra_flows(struct round *r, const struct extra *e, int dir)
{
	for (int k = 0; k < KIND_COUNT; k++) {
		if (r->kinds[dir] & e->kinds & KIND_BIT(k))
			e->flow(r, (enum kind)k, dir);
	}
}

static void fragment_flow(struct round *r, enum kind kind, int dir)
{
	enum kind udp = kind == KIND_FRAGMENTS ? KIND_UDP : KIND_UDP6;
	uint32_t mtu = r->ep[dir].mtu;
	if (!(r->kinds[dir] & KIND_BIT(udp)) || mtu < 1280 || mtu > MTU_TOO_LARGE)
		return;
	struct flow *f = round_flow_add(r, kind, dir);
	if (f)
		f->size = (uint16_t)(mtu + FRAGMENT_EXTRA);
}

void round_extra_flows(struct round *r)
{
	for (int new = 0; new < 2; new ++) {
		if (new && !both_speak(r, 4))
			return;
		for (int dir = 0; new &&dir < 2; dir++) {
			fragment_flow(r, KIND_FRAGMENTS, dir);
			fragment_flow(r, KIND_FRAGMENTS6, dir);
		}
		for (size_t i = 0; i < EXTRAS * 2; i++) {
			const struct extra *e = &extras[i / 2];
			if ((e->since > 3) == new)
				extra_flows(r, e, (int)i % 2);
		}
		if (!new)
			r->old_flow_count = r->flow_count;
	}
}

bool round_extra_wanted(const struct round *r, enum stage s)
{
	for (size_t i = 0; i < EXTRAS; i++) {
		if (extras[i].stage == s)
			return extras[i].wanted(r, &r->part[PARTY_A]) || extras[i].wanted(r, &r->part[PARTY_B]);
	}
	return true;
}
