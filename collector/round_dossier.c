/* round_dossier: everything a verdict is made from, put together when a round is over. */
#include "collector/round_parts.h"

#include "proto/base/mem.h"

#include <string.h>

#define CHANGES_AGE_NS (3600LL * 1000000000)

/* ---- parties ---- */

/* The same interface with every address it ever had. */
static struct endpoint endpoint_last(const struct member *m, const struct endpoint *ep)
{
	for (size_t i = 0; i < m->endpoint_count; i++) {
		if (strcmp(m->last[i].ifname, ep->ifname) == 0)
			return m->last[i];
	}
	return *ep;
}

/* Since the pair was last known to be well; the last hour when that is longer ago or not known. */
static void party_changes(struct party *p, const struct member *m, struct wall well_at, struct wall now)
{
	size_t first = m->change_count;
	while (first > 0 && m->changes[first - 1].at.ns > well_at.ns && now.ns - m->changes[first - 1].at.ns <= CHANGES_AGE_NS)
		first--;
	p->changes = &m->changes[first];
	p->change_count = m->change_count - first;
}

static struct endpoint endpoint_of_host(const struct member *m)
{
	return m->endpoint_count ? m->endpoints[0] : (struct endpoint){0};
}

static void party_services(struct party *p, const struct msg_hello *h)
{
	for (size_t i = 0; i < h->service_count && i < SERVICES_MAX; i++) {
		struct service *s = &p->services[p->service_count++];
		s->port = h->services[i];
		if (i < h->start_count)
			str_copy(s->start, sizeof s->start, h->starts[i]);
	}
}

/* Of one that has no time at all, as on a machine that is overloaded, nothing is heard for some reports. */
static bool heard_lately(const struct round *r, const struct member *m)
{
	return m->last_heard.ns && mono_ms_since(m->last_heard, r->ended.ns ? r->ended : r->started) < FLEET_SLOW_MS;
}

static void party_fill(const struct round *r, const struct fleet *f, int i, struct wall now, struct party *out)
{
	const struct participant *p = &r->part[i];
	const struct member *m = p->member;
	fleet_title(f, m, out->name);
	str_copy(out->tenant, sizeof out->tenant, m->tenant);
	str_copy(out->restart, sizeof out->restart, m->hello.restart);
	out->kind = m->kind;
	out->rights = m->hello.rights;
	out->online = m->online;
	out->heard = m->last_heard.ns && mono_reached(r->started, m->last_heard);
	out->lately = heard_lately(r, m);
	out->reported = p->result != NULL;
	out->relayed = m->heard_by == HEARD_RELAY;
	out->probe_port = m->hello.probe_port;
	out->ep = i < 2 ? r->ep[i] : endpoint_of_host(m);
	out->ep_last = endpoint_last(m, &out->ep);
	out->before = p->before ? p->before : m->snapshot;
	out->after = p->after;
	out->result = p->result;
	out->at = p->at;
	party_services(out, &m->hello);
	party_changes(out, m, r->ask.well_at, now);
}

/* ---- points, paths, kinds ---- */

static void points_fill(const struct round *r, struct dossier *out)
{
	for (size_t i = 0; i < r->point_count; i++) {
		out->points[i].id = (uint8_t)i;
		out->points[i].party = r->points[i].part;
		out->points[i].role = r->points[i].role;
		str_copy(out->points[i].ifname, sizeof out->points[i].ifname, r->points[i].ifname);
	}
	out->point_count = r->point_count;
}

static void path_fill(const struct round *r, int dir, struct dossier *out)
{
	for (size_t i = 0; i < r->path_count[dir]; i++) {
		const struct hop *h = &r->path[dir][i];
		out->path[dir][i] = h->point < 0 ? -1 - h->part : h->point;
	}
	out->path_count[dir] = r->path_count[dir];
	out->path_complete[dir] = r->path_complete[dir];
}

static void skipped_fill(const struct round *r, int dir, struct dossier *out)
{
	out->skipped[dir] = r->skipped[dir];
	for (int k = 0; k < KIND_COUNT; k++) {
		if (r->skipped[dir] & KIND_BIT(k))
			out->skip_why[dir][k] = mem_strdup(r->skip_why[dir][k]);
	}
}

/* ---- witnesses ---- */

static int party_of(const struct round *r, const struct member *m)
{
	for (size_t i = 0; i < r->part_count; i++) {
		if (r->part[i].member == m)
			return (int)i;
	}
	return -1;
}

static const struct member *host_of(const struct fleet *f, const struct member *m, const struct endpoint *ep)
{
	struct place at;
	if (m->kind == AGENT_HOST)
		return m;
	return fleet_place(f, m, ep->mac, &at) ? at.host : NULL;
}

/* Does this pair share a machine or a host with ours? The pair itself is no witness. */
static bool pair_is_near(const struct round *r, const struct member *m[2], const struct member *host[2])
{
	int ends = (party_of(r, m[0]) == PARTY_A || party_of(r, m[0]) == PARTY_B) +
	           (party_of(r, m[1]) == PARTY_A || party_of(r, m[1]) == PARTY_B);
	if (ends == 2)
		return false;
	for (int i = 0; i < 2; i++) {
		if (party_of(r, m[i]) >= 0 || (host[i] && party_of(r, host[i]) >= 0))
			return true;
	}
	return false;
}

static void witness_add(const struct round *r, const struct fleet *f, const struct member *m[2], int dir, const struct cells *c,
                        bool same_host, struct dossier *out)
{
	if (out->witness_count == WITNESSES_MAX)
		return;
	struct witness *w = &out->witnesses[out->witness_count++];
	w->from = party_of(r, m[dir]);
	w->to = party_of(r, m[1 - dir]);
	fleet_title(f, m[dir], w->from_name);
	fleet_title(f, m[1 - dir], w->to_name);
	memcpy(w->delivery, c->delivery[dir], sizeof w->delivery);
	memcpy(w->initiation, c->initiation[dir], sizeof w->initiation);
	w->same_host = same_host;
}

static void witness_of_pair(const struct round *r, const struct fleet *f, const struct pair *p, const struct cells *c,
                            struct dossier *out)
{
	const struct member *m[2] = {fleet_by_id(f, p->a), fleet_by_id(f, p->b)};
	if (!m[0] || !m[1])
		return;
	const struct member *host[2] = {host_of(f, m[0], &p->ep_a), host_of(f, m[1], &p->ep_b)};
	if (!pair_is_near(r, m, host))
		return;
	bool same_host = host[0] && host[0] == host[1];
	witness_add(r, f, m, 0, c, same_host, out);
	witness_add(r, f, m, 1, c, same_host, out);
}

static void witnesses_fill(const struct round *r, const struct fleet *f, const struct planner *p, const struct detect *d,
                           struct dossier *out)
{
	struct cells cells;
	for (uint32_t i = 0; p && d && i < planner_count(p); i++) {
		const struct pair *pair = planner_pair(p, i);
		if (pair && detect_cells(d, i, &cells) && cells.measured)
			witness_of_pair(r, f, pair, &cells, out);
	}
}

void round_dossier(const struct round *r, const struct fleet *f, const struct planner *p, const struct detect *d, struct wall now,
                   struct dossier *out)
{
	memset(out, 0, sizeof *out);
	out->round = r->ask.id;
	out->now = now;
	out->service_port = r->ask.service_port;
	out->onlink = r->onlink;
	memcpy(out->usual_us, r->ask.usual_us, sizeof out->usual_us);
	out->imported = fleet_imported(f);
	out->party_count = r->part_count;
	for (size_t i = 0; i < r->part_count; i++)
		party_fill(r, f, (int)i, now, &out->party[i]);
	out->flow_count = r->flow_count;
	memcpy(out->flows, r->flows, r->flow_count * sizeof *r->flows);
	points_fill(r, out);
	for (int dir = 0; dir < 2; dir++) {
		path_fill(r, dir, out);
		skipped_fill(r, dir, out);
	}
	witnesses_fill(r, f, p, d, out);
	bool b_is_guest = r->part[PARTY_B].member->kind == AGENT_GUEST;
	out->owner_count = fleet_owners(f, out->owners, OWNERS_MAX, r->part[b_is_guest ? PARTY_B : PARTY_A].member);
}
