/* sim_net: carries packets hop by hop, and plays the kernels: neighbour caches, and the answers kernels give. */
#include "tests/sim/sim.h"

#include <stdio.h>

#define HOP_US       20
#define HOP_SPREAD   20
#define ARP_RETRY_MS 1000
#define ARP_TRIES    3

static int family_index(uint8_t kind) { return kind_info(kind)->family == 6; }

/* ---- hops ---- */

static bool end_is(const struct hop_end *a, const struct hop_end *b)
{
	return a->machine == b->machine && strcmp(a->ifname, b->ifname) == 0;
}

struct net_fault *net_fault_add(struct sim *s, struct hop_end after, struct hop_end before, kind_mask kinds)
{
	struct net_fault *f = &s->faults[s->fault_count++];
	*f = (struct net_fault){
	    .after = after, .before = before, .kinds = kinds, .probes = true, .answers = true, .lose_ppm = 1000000};
	return f;
}

static const struct net_fault *fault_at(const struct sim *s, const struct hop_end *a, const struct hop_end *b,
                                        const struct packet *p)
{
	for (size_t i = 0; i < s->fault_count; i++) {
		const struct net_fault *f = &s->faults[i];
		bool part = p->part == PART_PROBE ? f->probes : f->answers;
		if (part && f->kinds & KIND_BIT(p->kind) && end_is(&f->after, a) && end_is(&f->before, b))
			return f;
	}
	return NULL;
}

static void packet_arrive(struct sim *s, const void *what);

/* Runs from point `i` of the path to its end; a doubled packet goes on twice. */
static void packet_walk(struct sim *s, const struct packet *p, const struct hop_end *path, size_t n, size_t i, struct mono at)
{
	for (; i + 1 < n; i++) {
		const struct net_fault *f = fault_at(s, &path[i], &path[i + 1], p);
		if (i > 0)
			agent_saw(s, path[i].machine, path[i].ifname, p);
		at = mono_add_us(at, HOP_US + sim_below(s, HOP_SPREAD));
		if (!f)
			continue;
		if (sim_chance(s, f->lose_ppm))
			return;
		at = mono_add_us(at, f->delay_us + (f->jitter_us ? sim_below(s, f->jitter_us) : 0));
		if (sim_chance(s, f->double_ppm))
			packet_walk(s, p, path, n, i + 1, at);
	}
	sim_at(s, at, packet_arrive, p, sizeof *p);
}

static void wire_put(struct sim *s, const struct packet *p)
{
	struct hop_end path[SIM_PATH_MAX];
	size_t n = world_path(s, p->from, p->to, p->segment, path);
	s->packets++;
	if (n)
		packet_walk(s, p, path, n, 0, s->now);
}

/* ---- neighbours ---- */

bool net_resolved(const struct sim *s, int machine, int peer, int family)
{
	return s->machines[machine].neighbours[peer][family == 6].known;
}

static void neighbour_ask(struct sim *s, int machine, int peer, int segment, int family)
{
	struct neighbour *n = &s->machines[machine].neighbours[peer][family];
	if (n->tries && mono_ms_since(n->asked, s->now) < ARP_RETRY_MS)
		return;
	n->tries++;
	n->asked = s->now;
	struct packet ask = {.from = machine, .to = peer, .segment = segment, .kind = family ? KIND_ND : KIND_ARP, .kernel = true};
	wire_put(s, &ask);
}

static void packet_wait(struct sim *s, const struct packet *p)
{
	struct machine *m = &s->machines[p->from];
	for (size_t i = 0; i < SIM_WAITING_MAX; i++) {
		if (m->waiting[i].used)
			continue;
		m->waiting[i] = (struct waiting){true, *p};
		break;
	}
	neighbour_ask(s, p->from, p->to, p->segment, family_index(p->kind));
}

static void neighbour_learn(struct sim *s, int machine, int peer, uint8_t kind)
{
	struct machine *m = &s->machines[machine];
	m->neighbours[peer][family_index(kind)] = (struct neighbour){.known = true};
	for (size_t i = 0; i < SIM_WAITING_MAX; i++) {
		const struct packet *p = &m->waiting[i].p;
		if (!m->waiting[i].used || p->to != peer || family_index(p->kind) != family_index(kind))
			continue;
		m->waiting[i].used = false;
		wire_put(s, p);
	}
}

/* ---- the kernels ---- */

void net_send(struct sim *s, const struct packet *p)
{
	bool neigh = kind_info(p->kind)->proto == PROTO_NEIGH;
	if (neigh || p->directed || net_resolved(s, p->from, p->to, kind_info(p->kind)->family))
		wire_put(s, p);
	else
		packet_wait(s, p);
}

static void kernel_answer(struct sim *s, const struct packet *p)
{
	struct packet answer = *p;
	answer.from = p->to;
	answer.to = p->from;
	answer.part = PART_ANSWER;
	answer.directed = false;
	answer.cold = false;
	net_send(s, &answer);
}

/* What kernels do, agent or not, paused or not. */
static void packet_arrive(struct sim *s, const void *what)
{
	const struct packet *p = what;
	enum proto proto = kind_info(p->kind)->proto;
	if (proto == PROTO_NEIGH && (p->part == PART_PROBE ? !p->cold : p->kernel))
		neighbour_learn(s, p->to, p->from, p->kind);
	if (!p->kernel)
		agent_heard(s, p);
	if (p->part == PART_PROBE && proto != PROTO_UDP)
		kernel_answer(s, p);
}
