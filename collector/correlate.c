/* correlate: from what every point saw to the two directions of a verdict. */
#include "collector/correlate_parts.h"
#include "collector/names.h"

#include "proto/base/mem.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#define REPEATED_MIN 3 /* doubled packets below this are chance */

static void names_fill(const struct dossier *d, struct verdict *v)
{
	const struct party *a = &d->party[PARTY_A], *b = &d->party[PARTY_B];
	str_copy(v->a, sizeof v->a, a->name);
	str_copy(v->b, sizeof v->b, b->name);
	str_copy(v->tenant_a, sizeof v->tenant_a, a->tenant);
	str_copy(v->tenant_b, sizeof v->tenant_b, b->tenant);
	str_copy(v->dir[0].from, sizeof v->dir[0].from, a->name);
	str_copy(v->dir[0].to, sizeof v->dir[0].to, b->name);
	str_copy(v->dir[1].from, sizeof v->dir[1].from, b->name);
	str_copy(v->dir[1].to, sizeof v->dir[1].to, a->name);
	v->service_port = d->service_port;
	v->at = d->now;
}

/* ---- path ---- */

static void path_point_name_fill(const struct dossier *d, int at, struct path_point *out)
{
	int party = at < 0 ? -1 - at : d->points[at].party;
	str_copy(out->agent, sizeof out->agent, d->party[party].name);
	out->agent_kind = d->party[party].kind;
	out->role = at < 0 ? POINT_SOCKET : d->points[at].role;
	if (at >= 0)
		str_copy(out->ifname, sizeof out->ifname, d->points[at].ifname);
}

/* Why a point's silence says nothing. */
static void path_why_fill(const struct dossier *d, int at, struct path_point *out)
{
	const struct party *p = &d->party[at < 0 ? -1 - at : d->points[at].party];
	const struct round_result *r = p->result;
	if (!r)
		snprintf(out->why, sizeof out->why, p->online ? "its agent did not report" : "its agent is offline");
	for (size_t i = 0; r && at >= 0 && i < r->status_count; i++) {
		const struct point_status *s = &r->status[i];
		if (s->point == d->points[at].id && !s->armed)
			str_copy(out->why, sizeof out->why, s->why);
		else if (s->point == d->points[at].id && s->dropped)
			snprintf(out->why, sizeof out->why, "the capture itself lost %u frames", s->dropped);
	}
}

static void path_fill(struct correlation *c, int n)
{
	struct direction *dir = &c->v->dir[n];
	dir->path_count = c->d->path_count[n];
	dir->path_complete = c->d->path_complete[n];
	for (size_t i = 0; i < dir->path_count; i++) {
		path_point_name_fill(c->d, c->d->path[n][i], &dir->path[i]);
		path_why_fill(c->d, c->d->path[n][i], &dir->path[i]);
	}
}

static bool point_is_watched(const struct dossier *d, int at)
{
	bool looked = false;
	if (at >= 0)
		dossier_seen(d, d->points[at].id, 0, &looked);
	return looked;
}

static void path_count(struct correlation *c, const struct view *w)
{
	struct direction *dir = &c->v->dir[w->flow->dir];
	for (size_t i = 0; i < w->probes.count; i++) {
		bool socket = c->d->path[w->flow->dir][i] < 0;
		dir->path[i].seen += (uint32_t)set_count(w->probes.at[i].set);
		dir->path[i].kind_seen[w->flow->kind] += (uint16_t)set_count(w->probes.at[i].set);
		dir->path[i].looked |= socket ? w->probes.at[i].looked : point_is_watched(c->d, c->d->path[w->flow->dir][i]);
	}
}

static void loss_count(struct correlation *c, const struct view *w)
{
	struct direction *dir = &c->v->dir[w->flow->dir];
	if (w->delivery == CELL_UNKNOWN || w->delivery == CELL_SKIPPED)
		return;
	dir->loss_sent += (uint32_t)set_count(w->base);
	dir->loss_received += (uint32_t)set_count(view_delivered(w));
}

/* ---- abnormal, though it arrives ---- */

static bool view_may_repeat(const struct view *w, int n)
{
	bool sent_twice = w->sent && w->sent->directed; /* by ourselves, on purpose */
	return w->flow->dir == n && w->received && !sent_twice && kind_info(w->flow->kind)->proto != PROTO_NEIGH;
}

static uint32_t repeated_in(const struct correlation *c, int n, bool duplicates)
{
	uint32_t sum = 0;
	for (size_t i = 0; i < c->count; i++) {
		const struct view *w = &c->views[i];
		if (view_may_repeat(w, n))
			sum += duplicates ? w->received->duplicates : w->received->reordered;
	}
	return sum;
}

/* Judged where all is well by address: else what is wrong there is what matters. */
static void names_judge(struct correlation *c)
{
	struct name_found found;
	for (int n = 0; n < 2; n++) {
		struct quality *q = &c->v->dir[n].quality;
		if (name_leads(c->d, n, &found) == NAME_ELSEWHERE && q->odd_count < ODDS_MAX && c->v->dir[n].path_count > 1)
			q->odds[q->odd_count++] = (struct odd){.what = ODD_NAME, .before = 1};
	}
}

static void state_fill(struct correlation *c)
{
	struct verdict *v = c->v;
	verdict_decide_state(v);
	if (v->state == STATE_OK)
		names_judge(c);
	if (v->state == STATE_OK && (v->dir[0].quality.odd_count || v->dir[1].quality.odd_count))
		v->state = STATE_DEGRADED;
	for (int n = 0; n < 2; n++) {
		for (int duplicates = 0; duplicates < 2; duplicates++) {
			uint32_t odd = repeated_in(c, n, duplicates);
			if (odd < REPEATED_MIN || odd * 4 < v->dir[n].loss_received)
				continue;
			v->notes = mem_resize(v->notes, v->note_count + 1, sizeof *v->notes);
			v->notes[v->note_count++] = mem_printf("%s -> %s: %u probes %s", v->dir[n].from, v->dir[n].to, odd,
			                                       duplicates ? "arrived more than once" : "arrived out of order");
			if (v->state == STATE_OK)
				v->state = STATE_DEGRADED;
		}
	}
}

/* Nobody asked for a service, and one that b offers is bad: that is the one to speak of. */
static void service_fill(struct correlation *c)
{
	for (size_t i = 0; i < c->count && !c->v->service_port; i++) {
		const struct view *w = &c->views[i];
		bool service = w->flow->kind == KIND_SERVICE || w->flow->kind == KIND_SERVICE6;
		if (service && w->flow->dir == 0 && (cell_is_bad(w->delivery) || cell_is_bad(w->initiation)))
			c->v->service_port = w->flow->dport;
	}
}

/* What its machine says of itself now, after the round was planned. */
static bool service_serves(const struct snapshot *s, uint16_t port, int family)
{
	for (size_t i = 0; i < s->listener_count; i++) {
		const struct listener *l = &s->listeners[i];
		bool dual = l->ip.family == 6 && !l->v6only && family == 4;
		if (l->proto == IPPROTO_TCP && l->port == port && (l->ip.family == family || dual))
			return true;
	}
	return false;
}

/* A service that lives in the other family only is not ill in this one. */
static bool service_is_of_other_family(const struct dossier *d, const struct flow *f)
{
	const struct party *p = &d->party[receiver_of(f)];
	const struct snapshot *s = p->after ? p->after : p->reported ? p->before : NULL;
	int family = kind_info((enum kind)f->kind)->family;
	if (!s || (f->kind != KIND_SERVICE && f->kind != KIND_SERVICE6))
		return false;
	return !service_serves(s, f->dport, family) && service_serves(s, f->dport, family == 4 ? 6 : 4);
}

/* Fragments cannot be sent past the neighbour table: where it fails, they were not measured. */
static bool is_unsent_fragment(const struct dossier *d, const struct flow *f)
{
	const struct flow_sent *s = kind_info((enum kind)f->kind)->fragments ? dossier_sent(d, f->id) : NULL;
	return s && s->unresolved;
}

static void views_fill(struct correlation *c)
{
	for (size_t i = 0; i < c->d->flow_count; i++) {
		if (flow_is_aside(&c->d->flows[i]) || is_unsent_fragment(c->d, &c->d->flows[i]) ||
		    service_is_of_other_family(c->d, &c->d->flows[i]))
			continue;
		struct view *w = &c->views[c->count++];
		view_fill(c->d, &c->d->flows[i], w);
		view_judge(c->d, w);
		path_count(c, w);
		loss_count(c, w);
	}
}

void correlate(const struct dossier *d, struct verdict *v)
{
	struct correlation *c = mem_alloc(sizeof *c);
	c->d = d;
	c->v = v;
	names_fill(d, v);
	path_fill(c, 0);
	path_fill(c, 1);
	views_fill(c);
	service_fill(c);
	cells_fill(c);
	cuts_fill(c);
	quality_fill(c);
	drops_fill(c);
	notes_fill(c);
	state_fill(c);
	free(c);
}
