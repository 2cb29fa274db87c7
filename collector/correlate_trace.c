/* correlate_trace: what each point of a path saw of one flow, and where that ends. */
#include "collector/correlate_parts.h"

#include <errno.h>
#include <string.h>

int set_count(seqset s) { return __builtin_popcountll(s); }

/* ---- which probes count ---- */

/* Refusals that say something about our own machine's load, not about the network. */
static bool error_is_own_trouble(int error)
{
	static const int own[] = {EADDRINUSE, EMFILE, ENFILE, ENOMEM, EAGAIN, EINTR};
	for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
		if (error == own[i])
			return true;
	}
	return false;
}

/* EHOSTUNREACH is how a socket hears later that the neighbour did not resolve: that is no refusal of the packet. */
static bool error_is_of_neighbour(const struct flow_sent *s) { return s->unresolved && s->error == EHOSTUNREACH; }

static seqset refused_by_kernel(const struct flow_sent *s)
{
	return error_is_own_trouble(s->error) || error_is_of_neighbour(s) ? 0 : s->refused_local;
}

static seqset taken_by_kernel(const struct flow_sent *s) { return error_is_of_neighbour(s) ? s->sent | s->refused_local : s->sent; }

/* The sender's word is lost: what was seen anywhere has been sent. */
static seqset base_from_sightings(const struct dossier *d, const struct flow *f, const struct flow_received *r)
{
	seqset base = r ? r->seen : 0;
	for (size_t i = 0; i < d->path_count[f->dir]; i++) {
		bool looked;
		int at = d->path[f->dir][i];
		const struct point_seen *seen = at < 0 ? NULL : dossier_seen(d, d->points[at].id, f->id, &looked);
		base |= seen ? seen->probes : 0;
	}
	return base;
}

/* Probes the kernel kept back for an unresolved neighbour were never on the wire; the directed ones in their place were. */
static seqset base_of(const struct dossier *d, const struct flow *f, const struct flow_sent *s, const struct flow_received *r)
{
	if (!s)
		return base_from_sightings(d, f, r);
	if (s->unresolved && s->directed)
		return s->directed | (s->sent & base_from_sightings(d, f, r)) | refused_by_kernel(s);
	return taken_by_kernel(s) | s->directed | refused_by_kernel(s);
}

/* ---- traces ---- */

static struct sight sight_at_point(const struct dossier *d, int at, const struct flow *f, bool answers)
{
	struct sight out = {0};
	const struct point_seen *seen = dossier_seen(d, d->points[at].id, f->id, &out.looked);
	if (seen)
		out.set = answers ? seen->answers | seen->refusals : seen->probes;
	return out;
}

/* Sockets count what a policy of IPsec refused as a loss of their own; the kernel knows better. */
static bool sockets_are_fit(const struct round_result *r)
{
	bool policy = false;
	for (size_t i = 0; i < r->drops_count && !policy; i++)
		policy = strcmp(r->drops[i].reason, "XFRM_POLICY") == 0;
	return r->health.socket_drops == 0 || policy;
}

/* What is not in a receiver's bitmap was not there, unless its sockets overflowed. */
static bool receiver_looked(const struct dossier *d, const struct view *w)
{
	const struct round_result *r = d->party[receiver_of(w->flow)].result;
	return r && w->received && w->received->looked && sockets_are_fit(r);
}

/* What may have been on the wire: a probe the kernel refused does not count as sent, even if it went as a frame later. */
static seqset wired(const struct view *w) { return w->sent ? w->base & ~refused_by_kernel(w->sent) : w->base; }

seqset view_delivered(const struct view *w)
{
	seqset seen = w->received ? w->received->seen | w->received->replied : 0;
	enum proto proto = kind_info(w->flow->kind)->proto;
	bool proven = proto == PROTO_UDP || !(w->received && w->received->looked);
	if (w->sent && proven) /* nobody but the peer itself makes a proven answer */
		seen |= w->sent->answered | w->sent->late;
	return seen & wired(w);
}

seqset view_returned(const struct view *w)
{
	return w->sent ? w->sent->answered | w->sent->late | w->sent->refused | w->sent->impostor : 0;
}

/* Runs along the path of `dir`; the sockets at its ends are filled in by the caller. */
static void trace_points(const struct dossier *d, int dir, const struct flow *f, bool answers, seqset among, struct trace *t)
{
	t->count = d->path_count[dir];
	for (size_t i = 0; i < t->count; i++) {
		if (d->path[dir][i] >= 0)
			t->at[i] = sight_at_point(d, d->path[dir][i], f, answers);
		t->at[i].set &= among;
	}
}

static void trace_probes(const struct dossier *d, struct view *w)
{
	struct trace *t = &w->probes;
	trace_points(d, w->flow->dir, w->flow, false, wired(w), t);
	if (t->count < 2)
		return;
	t->at[0] = (struct sight){w->sent != NULL, w->base};
	t->at[t->count - 1] = (struct sight){receiver_looked(d, w), view_delivered(w)};
	/* what the kernel refused or kept did not reach the next point, whether or not anybody looks there */
	if (w->sent && (w->never_left || (w->base && wired(w) == 0)))
		t->at[1].looked = true;
}

/* The kernel has no connection for a SYN that went past it as a frame: what answers it is at home when it is back at the NIC. */
static seqset back_home(const struct view *w, const struct trace *t)
{
	bool past_kernel = w->sent && kind_info(w->flow->kind)->proto == PROTO_TCP;
	return past_kernel ? w->sent->directed & t->at[t->count - 2].set : 0;
}

static void trace_answers(const struct dossier *d, struct view *w)
{
	struct trace *t = &w->answers;
	const struct flow_received *r = w->received;
	trace_points(d, 1 - w->flow->dir, w->flow, true, ~(seqset)0, t);
	if (t->count < 2)
		return;
	t->at[0] = (struct sight){receiver_looked(d, w), view_delivered(w)};
	t->at[t->count - 1] = (struct sight){w->sent != NULL, view_returned(w) | back_home(w, t)};
	if (r && r->reply_error && !r->replied)
		t->at[1].looked = true;
}

static bool wire_saw_nothing(const struct trace *t)
{
	for (size_t i = 1; i < t->count; i++) {
		if (t->at[i].set)
			return false;
	}
	return true;
}

void view_fill(const struct dossier *d, const struct flow *f, struct view *w)
{
	memset(w, 0, sizeof *w);
	w->flow = f;
	w->sent = dossier_sent(d, f->id);
	w->received = dossier_received(d, f->id);
	w->base = base_of(d, f, w->sent, w->received);
	trace_probes(d, w);
	if (w->sent && w->sent->unresolved && !w->sent->directed && w->base && wire_saw_nothing(&w->probes)) {
		w->never_left = true;
		trace_probes(d, w);
	}
	trace_answers(d, w);
}

/* ---- gaps ---- */

seqset trace_all(const struct trace *t)
{
	seqset all = 0;
	for (size_t i = 0; i < t->count; i++)
		all |= t->at[i].set;
	return all;
}

/* What was seen further on has passed here too, whether or not this point noticed. */
static void trace_passed(const struct trace *t, seqset passed[PATH_POINTS_MAX])
{
	seqset further = 0;
	for (size_t i = t->count; i-- > 0;) {
		further |= t->at[i].set;
		passed[i] = further;
	}
}

static bool gap_total(const struct trace *t, const seqset *passed, struct gap *out)
{
	size_t after = t->count;
	while (after > 0 && passed[after - 1] == 0)
		after--;
	if (after == 0)
		return false;
	for (size_t i = after; i < t->count; i++) {
		if (t->at[i].looked) {
			*out = (struct gap){(uint8_t)(after - 1), (uint8_t)i, false};
			return true;
		}
	}
	return false;
}

static bool gap_partial(const struct trace *t, const seqset *passed, struct gap *out)
{
	int worst = 0;
	size_t last = t->count;
	for (size_t i = 0; i < t->count; i++) {
		if (!t->at[i].looked)
			continue;
		int lost = last == t->count ? 0 : set_count(passed[last]) - set_count(passed[i]);
		if (lost > worst) {
			worst = lost;
			*out = (struct gap){(uint8_t)last, (uint8_t)i, true};
		}
		last = i;
	}
	return worst > 0;
}

bool trace_gap(const struct trace *t, struct gap *out)
{
	seqset passed[PATH_POINTS_MAX];
	trace_passed(t, passed);
	return gap_total(t, passed, out) || gap_partial(t, passed, out);
}
