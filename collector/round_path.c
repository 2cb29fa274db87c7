/* round_path: who stands between two machines, and where on the way probes can be seen.
 *
 * Each end has a stack, from its socket outwards: a guest's NIC and its host's port; a host's bridge device. When the ends
 * stand on different hosts, both stacks go on to the uplink. The path a -> b is a's stack and then b's, turned over. */
#include "collector/round_parts.h"

#include "proto/base/mem.h"

#include <string.h>

#define STACK_MAX 8

struct stack {
	size_t count;
	struct hop hops[STACK_MAX];
};

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
	return l && strcmp(l->kind, "bridge") == 0;
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

/* ---- points ---- */

static int point_of(struct round *r, int part, const char *ifname, uint8_t role)
{
	struct participant *p = &r->part[part];
	for (size_t i = 0; i < r->point_count; i++) {
		if (r->points[i].part == part && strcmp(r->points[i].ifname, ifname) == 0)
			return (int)i;
	}
	if (r->point_count == sizeof r->points / sizeof *r->points)
		return -1;
	struct round_point *point = &r->points[r->point_count];
	*point = (struct round_point){.part = part, .role = role};
	str_copy(point->ifname, sizeof point->ifname, ifname);
	struct point_spec *spec = &p->points[p->point_count++];
	spec->id = (uint8_t)r->point_count;
	str_copy(spec->ifname, sizeof spec->ifname, ifname);
	return (int)r->point_count++;
}

static bool stack_has(const struct stack *s, int point)
{
	for (size_t i = 0; i < s->count; i++) {
		if (s->hops[i].point == point)
			return true;
	}
	return false;
}

static void stack_push(struct round *r, struct stack *s, int part, const char *ifname, uint8_t role)
{
	if (part < 0 || !ifname[0] || s->count == STACK_MAX)
		return;
	int point = point_of(r, part, ifname, role);
	if (point >= 0 && !stack_has(s, point))
		s->hops[s->count++] = (struct hop){part, point};
}

static void stack_of(struct round *r, int end, struct stack *s)
{
	const struct placement *at = &r->part[end].at;
	bool host = r->part[end].member->kind == AGENT_HOST;
	s->count = 0;
	s->hops[s->count++] = (struct hop){end, -1};
	stack_push(r, s, end, r->ep[end].ifname, host && at->bridge[0] ? POINT_BRIDGE : POINT_NIC);
	if (!host)
		stack_push(r, s, host_of(r, end), at->port, POINT_PORT);
	if (!ends_share_host(r))
		stack_push(r, s, host_of(r, end), at->uplink, POINT_UPLINK);
}

/* A host whose address sits on a plain interface needs no uplink: that interface is it. */
static bool stack_is_complete(const struct round *r, int end)
{
	const struct placement *at = &r->part[end].at;
	if (host_of(r, end) < 0)
		return false;
	if (ends_share_host(r))
		return !at->bridge[0] || !r->part[1 - end].at.bridge[0] || strcmp(at->bridge, r->part[1 - end].at.bridge) == 0;
	return at->uplink[0] || (r->part[end].member->kind == AGENT_HOST && !at->bridge[0]);
}

/* A port in no bridge is the host's own interface, too: one point. */
static bool same_point(const struct hop *a, const struct hop *b) { return a->point >= 0 && a->point == b->point; }

static void path_join(struct round *r, int dir, const struct stack *out, const struct stack *in)
{
	size_t n = 0;
	for (size_t i = 0; i < out->count; i++)
		r->path[dir][n++] = out->hops[i];
	for (size_t i = in->count; i-- > 0;)
		if (!same_point(&r->path[dir][n - 1], &in->hops[i]))
			r->path[dir][n++] = in->hops[i];
	r->path_count[dir] = n;
}

void round_paths(struct round *r, const struct fleet *f)
{
	struct stack a, b;
	place_end(r, f, PARTY_A);
	place_end(r, f, PARTY_B);
	place_uplink(r, f, PARTY_A);
	place_uplink(r, f, PARTY_B);
	place_carrier(r, PARTY_A);
	place_carrier(r, PARTY_B);
	stack_of(r, PARTY_A, &a);
	stack_of(r, PARTY_B, &b);
	path_join(r, 0, &a, &b);
	path_join(r, 1, &b, &a);
	r->path_complete = stack_is_complete(r, PARTY_A) && stack_is_complete(r, PARTY_B);
}
