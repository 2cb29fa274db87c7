/* round_path: who stands between two machines, and where on the way probes can be seen. The way itself is walk's; here its
 * machines become participants, its points places of capture. */
#include "collector/round_parts.h"

#include "collector/walk.h"
#include "proto/base/mem.h"

#include <string.h>

static int part_of(const struct round *r, const struct member *m)
{
	for (size_t i = 0; i < r->part_count; i++) {
		if (r->part[i].member == m)
			return (int)i;
	}
	return -1;
}

static int part_add(struct round *r, struct member *m)
{
	int at = part_of(r, m);
	if (at >= 0 || r->part_count == PARTICIPANTS_MAX)
		return at;
	r->part[r->part_count].member = m;
	return (int)r->part_count++;
}

/* ---- placements ---- */

static void place_guest(struct round *r, const struct fleet *f, int end)
{
	struct place place;
	struct placement *at = &r->part[end].at;
	if (!fleet_place(f, r->part[end].member, r->ep[end].mac, &place))
		return;
	at->known = true;
	at->live = place.live;
	at->host = place.host ? part_add(r, place.host) : -1;
	str_copy(at->port, sizeof at->port, place.port);
	str_copy(at->bridge, sizeof at->bridge, place.bridge);
}

static bool is_bridge(const struct member *m, const char *ifname)
{
	const struct link *l = m->snapshot ? snapshot_link_named(m->snapshot, ifname) : NULL;
	return l && link_is_bridge(l);
}

static void place_host(struct round *r, int end)
{
	struct placement *at = &r->part[end].at;
	at->known = true;
	at->live = true;
	at->host = end;
	if (is_bridge(r->part[end].member, r->ep[end].ifname))
		str_copy(at->bridge, sizeof at->bridge, r->ep[end].ifname);
}

static int host_of(const struct round *r, int end) { return r->part[end].at.known ? r->part[end].at.host : -1; }

static bool ends_share_host(const struct round *r) { return host_of(r, 0) >= 0 && host_of(r, 0) == host_of(r, 1); }

static void place_uplink(struct round *r, const struct fleet *f, int end)
{
	struct placement *at = &r->part[end].at;
	if (ends_share_host(r) || host_of(r, end) < 0)
		return;
	const struct member *host = r->part[host_of(r, end)].member;
	if (at->bridge[0])
		fleet_uplink(f, host, at->bridge, r->ep[1 - end].mac, at->uplink);
}

static void place_end(struct round *r, const struct fleet *f, int end)
{
	if (r->part[end].member->kind == AGENT_HOST)
		place_host(r, end);
	else
		place_guest(r, f, end);
}

/* A host that only carries a guest stands where that guest's bridge and uplink are. */
static void place_carrier(struct round *r, int end)
{
	int host = host_of(r, end);
	if (host < 0 || host == PARTY_A || host == PARTY_B || r->part[host].at.known)
		return;
	struct placement *at = &r->part[host].at;
	*at = r->part[end].at;
	at->port[0] = '\0';
	at->live = true;
}

/* Who only routes: a guest where it is plugged in, a host where it is. */
static void place_middle(struct round *r, const struct fleet *f, int part)
{
	struct place place;
	struct placement *at = &r->part[part].at;
	const struct member *m = r->part[part].member;
	if (at->known)
		return;
	if (m->kind == AGENT_HOST) {
		*at = (struct placement){.known = true, .live = true, .host = part};
	} else if (fleet_place(f, m, (struct mac){0}, &place)) {
		*at = (struct placement){.known = true, .live = place.live, .host = place.host ? part_add(r, place.host) : -1};
		str_copy(at->port, sizeof at->port, place.port);
		str_copy(at->bridge, sizeof at->bridge, place.bridge);
	}
}

/* ---- points ---- */

static int point_of(struct round *r, int part, const char *ifname, uint8_t role)
{
	struct participant *p = &r->part[part];
	for (size_t i = 0; i < r->point_count; i++) {
		if (r->points[i].part == part && strcmp(r->points[i].ifname, ifname) == 0)
			return (int)i;
	}
	if (r->point_count == POINTS_MAX || p->point_count == ROUND_POINTS_MAX)
		return -1;
	struct round_point *point = &r->points[r->point_count];
	*point = (struct round_point){.part = part, .role = role};
	str_copy(point->ifname, sizeof point->ifname, ifname);
	struct point_spec *spec = &p->points[p->point_count++];
	spec->id = (uint8_t)r->point_count;
	str_copy(spec->ifname, sizeof spec->ifname, ifname);
	return (int)r->point_count++;
}

static void hop_add(struct round *r, int dir, int part, int point)
{
	if (r->path_count[dir] < PATH_POINTS_MAX)
		r->path[dir][r->path_count[dir]++] = (struct hop){part, point};
}

static void path_take(struct round *r, int dir, const struct walk *w)
{
	int from = dir == 0 ? PARTY_A : PARTY_B;
	r->path_complete[dir] = w->complete;
	hop_add(r, dir, from, -1);
	for (size_t i = 0; i < w->count; i++) {
		int part = part_add(r, w->at[i].member);
		int point = part < 0 ? -1 : point_of(r, part, w->at[i].ifname, w->at[i].role);
		if (point >= 0)
			hop_add(r, dir, part, point);
		else
			r->path_complete[dir] = false;
	}
	hop_add(r, dir, 1 - from, -1);
}

void round_paths(struct round *r, const struct fleet *f)
{
	struct walk way[2];
	struct walk_end end[2] = {{r->part[PARTY_A].member, &r->ep[PARTY_A]}, {r->part[PARTY_B].member, &r->ep[PARTY_B]}};
	place_end(r, f, PARTY_A);
	place_end(r, f, PARTY_B);
	place_uplink(r, f, PARTY_A);
	place_uplink(r, f, PARTY_B);
	place_carrier(r, PARTY_A);
	place_carrier(r, PARTY_B);
	walk_both(f, end, r->onlink, way);
	path_take(r, 0, &way[0]);
	path_take(r, 1, &way[1]);
	for (size_t i = 2; i < r->part_count; i++)
		place_middle(r, f, (int)i);
}
