/* correlate_cuts: where the probes and their answers die. */
#include "collector/correlate_parts.h"

static struct cut *cut_find(struct direction *dir, const struct gap *g)
{
	for (size_t i = 0; i < dir->cut_count; i++) {
		struct cut *c = &dir->cuts[i];
		if (c->after == g->after && c->before == g->before)
			return c;
	}
	return NULL;
}

/* What dies at one place shares an entry. Probes are recorded before answers: a kind that is there already stays one whose
 * probes die. */
static void cut_add(struct direction *dir, const struct gap *g, uint8_t kind, bool answer)
{
	struct cut *c = cut_find(dir, g);
	if (!c && dir->cut_count < CUTS_MAX) {
		c = &dir->cuts[dir->cut_count++];
		*c = (struct cut){.after = g->after, .before = g->before, .partial = true, .drop_party = -1};
	}
	if (!c)
		return;
	if (answer && !(c->kinds & KIND_BIT(kind)))
		c->answers |= KIND_BIT(kind);
	c->kinds |= KIND_BIT(kind);
	c->answer = c->answers == c->kinds;
	c->partial = c->partial && g->partial;
}

/* ---- neighbours ---- */

static const struct view *view_of_neighbour(const struct correlation *c, int dir, int family)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct kind_info *info = kind_info(c->views[i].flow->kind);
		if (c->views[i].flow->dir == dir && info->proto == PROTO_NEIGH && info->family == family)
			return &c->views[i];
	}
	return NULL;
}

static bool neighbour_fails(const struct correlation *c, int dir, int family)
{
	const struct view *w = view_of_neighbour(c, dir, family);
	return w && (cell_is_bad(w->delivery) || cell_is_bad(w->initiation));
}

/* The end that sends in `dir` found no neighbour, and we know why. */
static bool unresolved_and_explained(const struct correlation *c, int dir, int family)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct view *w = &c->views[i];
		if (w->flow->dir == dir && kind_info(w->flow->kind)->family == family && w->sent && w->sent->unresolved)
			return neighbour_fails(c, dir, family);
	}
	return false;
}

static const struct gap out_of_socket = {0, 1, false};

static bool is_lossy(uint8_t cell) { return cell == CELL_LOST || cell == CELL_PARTIAL; }

/* ---- probes ---- */

/* Something of that family dies on the wire in `dir`: so may the answers to ARP and ND requests. */
static bool wire_is_cut(const struct correlation *c, int dir, int family)
{
	struct gap g;
	for (size_t i = 0; i < c->count; i++) {
		const struct view *w = &c->views[i];
		bool other = w->flow->dir != dir || kind_info(w->flow->kind)->family != family || w->never_left;
		if (!other && is_lossy(w->delivery) && trace_gap(&w->probes, &g))
			return true;
	}
	return false;
}

/* Never on the wire for want of a neighbour: it died where the ARP or ND request died. Where none were sent, the other
 * direction's cut explains it, else the own kernel. */
static bool gap_of_unresolved(const struct correlation *c, const struct view *w, struct gap *out)
{
	int family = kind_info(w->flow->kind)->family;
	const struct view *n = view_of_neighbour(c, w->flow->dir, family);
	*out = out_of_socket;
	if (!n)
		return !wire_is_cut(c, 1 - w->flow->dir, family);
	if (!neighbour_fails(c, w->flow->dir, family))
		return true;
	return is_lossy(n->delivery) && trace_gap(&n->probes, out);
}

static void cut_probes(struct correlation *c, const struct view *w)
{
	struct gap g;
	if (!is_lossy(w->delivery))
		return;
	if (w->never_left ? gap_of_unresolved(c, w, &g) : trace_gap(&w->probes, &g))
		cut_add(&c->v->dir[w->flow->dir], &g, w->flow->kind, false);
}

/* ---- answers ---- */

static bool answers_missing(const struct view *w)
{
	return is_lossy(w->initiation) && (trace_all(&w->answers) & ~view_returned(w));
}

/* The neighbour of a sender whose probes went as directed frames: its own ARP or ND exchange has its own cut; when there is
 * none, the kernel kept the probes although the network would have resolved it. */
static void cut_directed(struct correlation *c, const struct view *w)
{
	const struct flow_sent *s = w->sent;
	if (!s || !s->unresolved || !s->directed || w->initiation != CELL_LOST)
		return;
	if (!neighbour_fails(c, w->flow->dir, kind_info(w->flow->kind)->family))
		cut_add(&c->v->dir[w->flow->dir], &out_of_socket, w->flow->kind, false);
}

static void cut_answers(struct correlation *c, const struct view *w)
{
	struct gap g;
	int back = 1 - w->flow->dir;
	if (w->delivery == CELL_OK)
		cut_directed(c, w);
	if (!answers_missing(w) || !trace_gap(&w->answers, &g))
		return;
	if (g.after == 0 && unresolved_and_explained(c, back, kind_info(w->flow->kind)->family))
		return; /* the answers wait for a neighbour: told by its own kind */
	cut_add(&c->v->dir[back], &g, w->flow->kind, true);
}

/* Never on the wire, and the request for the neighbour arrived: it died where the neighbour's answer died. */
static void cut_answers_of_neighbour(struct correlation *c, const struct view *w)
{
	struct gap g;
	const struct view *n = view_of_neighbour(c, w->flow->dir, kind_info(w->flow->kind)->family);
	if (n && n->delivery == CELL_OK && answers_missing(n) && trace_gap(&n->answers, &g))
		cut_add(&c->v->dir[1 - w->flow->dir], &g, w->flow->kind, true);
}

void cuts_partial(struct correlation *c, int dir, uint8_t after, uint8_t before, uint8_t kind)
{
	struct gap g = {after, before, true};
	cut_add(&c->v->dir[dir], &g, kind, false);
}

void cuts_fill(struct correlation *c)
{
	for (size_t i = 0; i < c->count; i++)
		cut_probes(c, &c->views[i]);
	for (size_t i = 0; i < c->count; i++) {
		if (c->views[i].never_left)
			cut_answers_of_neighbour(c, &c->views[i]);
		else
			cut_answers(c, &c->views[i]);
	}
}
