/* correlate_cells: the matrix. Delivery is the one-way truth at the receiver's socket; initiation is whether a conversation
 * can be opened. */
#include "collector/correlate_parts.h"

#include "proto/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void view_why(struct view *w, const char *fmt, const char *a, const char *b)
{
	if (!w->why[0])
		snprintf(w->why, sizeof w->why, fmt, a, b);
}

/* ---- delivery ---- */

static enum cell cell_of(seqset got, seqset of)
{
	if (got == of)
		return CELL_OK;
	return got ? CELL_PARTIAL : CELL_LOST;
}

/* The receiver did not look: the last point that did may still prove that nothing can have arrived. */
static enum cell delivery_unseen(const struct dossier *d, struct view *w)
{
	struct gap gap;
	if (view_delivered(w) == w->base)
		return CELL_OK;
	const struct party *to = &d->party[receiver_of(w->flow)];
	const char *why = w->received ? w->received->why : "";
	if (trace_gap(&w->probes, &gap))
		return gap.partial ? CELL_PARTIAL : CELL_LOST;
	view_why(w, *why ? "%s: %s" : "%s did not report%s", to->name, why);
	return CELL_UNKNOWN;
}

static enum cell delivery_measured(const struct dossier *d, struct view *w)
{
	const struct party *from = &d->party[sender_of(w->flow)];
	if (w->sent && w->sent->status == FLOW_SKIPPED) {
		view_why(w, "%s%s", w->sent->why, "");
		return CELL_SKIPPED;
	}
	if (!w->base) {
		view_why(w, w->sent ? "%s could not send%s" : "%s did not report%s", from->name, "");
		return CELL_UNKNOWN;
	}
	if (w->probes.count < 2 || !w->probes.at[w->probes.count - 1].looked)
		return delivery_unseen(d, w);
	return cell_of(view_delivered(w), w->base);
}

bool party_lagged(const struct dossier *d, int party, uint32_t at_least_us)
{
	const struct round_result *r = d->party[party].result;
	return r && r->health.lag_us >= at_least_us;
}

/* A sender that slept through a part of the stage: what is missing may have left when nobody looked any more. What its kernel
 * kept or refused did not. */
static bool sender_missed_stage(const struct dossier *d, const struct view *w)
{
	seqset kept = w->sent ? w->sent->refused_local : 0;
	bool gone = w->base & ~kept & ~view_delivered(w);
	return gone && !w->never_left && party_lagged(d, sender_of(w->flow), LAG_MISSED_US);
}

static enum cell delivery_of(const struct dossier *d, struct view *w)
{
	enum cell cell = delivery_measured(d, w);
	if ((cell != CELL_LOST && cell != CELL_PARTIAL) || !sender_missed_stage(d, w))
		return cell;
	view_why(w, "%s was too short of CPU to send in time%s", d->party[sender_of(w->flow)].name, "");
	return CELL_UNKNOWN;
}

/* ---- initiation ---- */

/* Devices of a macvtap's kind have the MAC of the guest behind them. */
static bool owns_mac(const struct snapshot *s, struct mac mac)
{
	for (size_t i = 0; i < s->link_count; i++) {
		const struct link *l = &s->links[i];
		bool mirrors = strncmp(l->kind, "macv", 4) == 0 || strncmp(l->kind, "ipv", 3) == 0;
		if (!mirrors && mac_equal(l->mac, mac))
			return true;
	}
	return false;
}

/* A machine that answers for the address of one device with the MAC of another is no impostor: all of them are its own. */
static bool answers_are_its_own(const struct dossier *d, const struct view *w)
{
	const struct party *p = &d->party[receiver_of(w->flow)];
	const struct snapshot *s = p->after ? p->after : p->before;
	for (size_t i = 0; s && i < w->sent->mac_count; i++) {
		if (!owns_mac(s, w->sent->macs[i]))
			return false;
	}
	return s && w->sent->mac_count;
}

/* Answers to what the peer never saw come from somebody else, unless one of the two slept: then it left too late, or was not looked
 * at in time. UDP answers are proven by their MAC; ARP answers by the agent that asked, which knows the right address. */
static seqset impostors(const struct dossier *d, const struct view *w)
{
	enum proto proto = kind_info(w->flow->kind)->proto;
	bool slept = party_lagged(d, sender_of(w->flow), LAG_UNFIT_US) || party_lagged(d, receiver_of(w->flow), LAG_UNFIT_US);
	bool checkable = (proto == PROTO_ICMP || proto == PROTO_TCP) && !slept;
	const struct sight *end = &w->probes.at[w->probes.count ? w->probes.count - 1 : 0];
	seqset odd = proto == PROTO_NEIGH && answers_are_its_own(d, w) ? 0 : w->sent->impostor;
	if (checkable && end->looked)
		odd |= w->sent->answered & ~end->set;
	return odd;
}

/* A sender that slept, and all that is missing reached its NIC: nobody can say whether its socket got it in time. */
static bool sender_overslept(const struct dossier *d, const struct view *w, seqset missing)
{
	const struct trace *t = &w->answers;
	seqset there = w->sent->late | (t->count >= 3 ? t->at[t->count - 2].set : 0);
	return party_lagged(d, sender_of(w->flow), LAG_UNFIT_US) && (missing & ~there) == 0;
}

/* It runs, or did a moment ago, and took no part: stopped, or too slow. */
static bool party_is_asleep(const struct party *p) { return !p->reported && ((p->online && p->heard) || p->lately); }

/* UDP answers are made by the agent: one that slept made them late or not yet. */
static bool receiver_overslept(const struct dossier *d, const struct view *w, seqset missing)
{
	if (kind_info(w->flow->kind)->proto != PROTO_UDP)
		return false;
	if (!w->received)
		return party_is_asleep(&d->party[receiver_of(w->flow)]);
	return party_lagged(d, receiver_of(w->flow), LAG_UNFIT_US) &&
	       (missing & ~(w->sent->late | (view_delivered(w) & ~w->received->replied))) == 0;
}

/* A packet too big for the way, or our own kernel's word that there is no neighbour, is not a refusal by the peer. */
static bool is_refused(const struct flow_sent *s) { return s->refused && !s->icmp_mtu && !s->unresolved; }

static enum cell initiation_of_answers(const struct dossier *d, struct view *w, seqset wanted, seqset answered)
{
	const struct flow_sent *s = w->sent;
	seqset late = s->late & wanted & ~answered;
	if (answered == wanted)
		return CELL_OK;
	if (is_refused(s) && !answered)
		return CELL_REFUSED;
	if (sender_missed_stage(d, w) || sender_overslept(d, w, wanted & ~answered) ||
	    receiver_overslept(d, w, wanted & ~answered)) {
		view_why(w, "%s or %s was too short of CPU to tell", d->party[PARTY_A].name, d->party[PARTY_B].name);
		return CELL_UNKNOWN;
	}
	if ((answered | late) == wanted)
		return CELL_SLOW;
	return answered | late ? CELL_PARTIAL : CELL_LOST;
}

/* The neighbour resolved after all: our NIC saw the kernel's own probes beside the directed ones. */
static bool resolved_late(const struct dossier *d, const struct view *w)
{
	bool looked;
	int at = d->path_count[w->flow->dir] > 1 ? d->path[w->flow->dir][1] : -1;
	const struct point_seen *nic = at < 0 ? NULL : dossier_seen(d, d->points[at].id, w->flow->id, &looked);
	int repeated = set_count(w->sent->sent & w->sent->directed);
	return nic && repeated && nic->duplicates >= repeated;
}

static enum cell initiation_of(const struct dossier *d, struct view *w)
{
	const struct flow_sent *s = w->sent;
	if (s && s->status == FLOW_SKIPPED)
		return CELL_SKIPPED;
	if (!s || !w->base) {
		view_why(w, "%s did not report%s", d->party[sender_of(w->flow)].name, "");
		return CELL_UNKNOWN;
	}
	if (impostors(d, w))
		return CELL_IMPOSTOR;
	seqset got = s->answered | s->impostor; /* what is left of the latter is its own */
	if (!s->unresolved || !s->directed || resolved_late(d, w))
		return initiation_of_answers(d, w, w->base, got & w->base);
	/* directed frames bypass the neighbour cache: their answers do not show that a conversation can be opened */
	seqset own = s->sent & ~s->directed;
	seqset answered = s->answered & own;
	return answered ? initiation_of_answers(d, w, own, answered) : CELL_LOST;
}

void view_judge(const struct dossier *d, struct view *w)
{
	w->delivery = (uint8_t)delivery_of(d, w);
	w->initiation = (uint8_t)initiation_of(d, w);
}

/* ---- the matrix ---- */

/* Several flows may share a cell (services): the worse one shows. */
static void cell_merge(uint8_t *cell, bool *set, uint8_t with)
{
	if (!*set || (cell_is_bad(with) && !cell_is_bad(*cell)) || (*cell == CELL_SKIPPED && with != CELL_SKIPPED))
		*cell = with;
	*set = true;
}

static void why_set(struct direction *dir, uint8_t kind, const char *why)
{
	if (!why || !why[0] || dir->why[kind])
		return;
	dir->why[kind] = mem_strdup(why);
}

static bool cell_needs_why(const struct direction *dir, int k)
{
	return dir->delivery[k] == CELL_UNKNOWN || dir->delivery[k] == CELL_SKIPPED || dir->initiation[k] == CELL_UNKNOWN;
}

static void cells_of_direction(struct correlation *c, int n)
{
	struct direction *dir = &c->v->dir[n];
	bool delivery[KIND_COUNT] = {false}, initiation[KIND_COUNT] = {false};
	for (size_t i = 0; i < c->count; i++) {
		const struct view *w = &c->views[i];
		if (w->flow->dir != n)
			continue;
		cell_merge(&dir->delivery[w->flow->kind], &delivery[w->flow->kind], w->delivery);
		cell_merge(&dir->initiation[w->flow->kind], &initiation[w->flow->kind], w->initiation);
		if (cell_needs_why(dir, w->flow->kind))
			why_set(dir, w->flow->kind, w->why);
	}
	for (int k = 0; k < KIND_COUNT; k++) {
		if (delivery[k] || !(c->d->skipped[n] & KIND_BIT(k)))
			continue;
		dir->delivery[k] = dir->initiation[k] = CELL_SKIPPED;
		why_set(dir, (uint8_t)k, c->d->skip_why[n][k]);
	}
}

/* ---- works only as a reply ---- */

static int kind_small(int k)
{
	const struct kind_info *info = kind_info(k);
	for (int s = 0; (info->large || info->fragments) && s < KIND_COUNT; s++) {
		const struct kind_info *other = kind_info(s);
		if (!other->large && !other->fragments && other->proto == info->proto && other->family == info->family)
			return s;
	}
	return k;
}

/* This direction's probes die, yet answers pass the same way: somebody lets through only what was asked for. Large answers
 * may be smaller than their probes, so size alone must not look like it; and an echo request is told from an echo reply by its
 * type, without any state, so for ICMP it says nothing. */
static bool only_replies_pass(const struct verdict *v, int n, int k)
{
	enum proto proto = kind_info(k)->proto;
	return (proto == PROTO_UDP || proto == PROTO_TCP) && v->dir[n].delivery[k] == CELL_LOST &&
	       v->dir[n].initiation[k] == CELL_LOST && v->dir[1 - n].initiation[k] == CELL_OK;
}

static void cells_mark_reply_only(struct correlation *c)
{
	struct verdict *v = c->v;
	for (size_t i = 0; i < c->count; i++) {
		const struct view *w = &c->views[i];
		int n = w->flow->dir, k = w->flow->kind;
		bool unresolved = w->sent && w->sent->unresolved; /* answers may have known the neighbour by then */
		if (!unresolved && only_replies_pass(v, n, k) && v->dir[n].delivery[kind_small(k)] == CELL_LOST)
			v->dir[n].initiation[k] = CELL_REPLY_ONLY;
	}
}

void cells_fill(struct correlation *c)
{
	cells_of_direction(c, 0);
	cells_of_direction(c, 1);
	cells_mark_reply_only(c);
}
