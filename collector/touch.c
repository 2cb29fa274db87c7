#include "collector/touch.h"
#include "collector/walk.h"

#include <stdlib.h>
#include <string.h>

/* ---- what a key is about ---- */

static const char *const device_groups[] = {"link.", "port.", "addr.", "vlan.", "vxlan.", NULL};
static const char *const machine_groups[] = {"route.", "rule.", "sysctl.", "firewall.", NULL};

/* What of a device says how it is made or how fast it is, not where packets go. */
static const char *const idle_attributes[] = {".driver", ".driver_version", ".speed", ".queues", ".kind", NULL};

static const char *group_rest(const char *key, const char *const *groups)
{
	for (; *groups; groups++)
		if (strncmp(key, *groups, strlen(*groups)) == 0)
			return key + strlen(*groups);
	return NULL;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);
	return len >= n && strcmp(text + len - n, end) == 0;
}

static bool is_idle(const char *key)
{
	for (const char *const *a = idle_attributes; *a; a++)
		if (ends_with(key, *a))
			return true;
	return false;
}

/* listen.PROTO.ADDRESS.PORT */
static bool is_probed_service(const struct member *m, const char *key)
{
	const char *dot = strrchr(key, '.');
	long port = dot ? strtol(dot + 1, NULL, 10) : 0;
	for (size_t i = 0; i < m->hello.service_count; i++)
		if (m->hello.services[i] == port)
			return true;
	return false;
}

bool change_is_relevant(const struct member *m, const struct fact_change *c)
{
	if (strncmp(c->key, "listen.", 7) == 0)
		return is_probed_service(m, c->key);
	if (group_rest(c->key, device_groups))
		return !is_idle(c->key);
	return group_rest(c->key, machine_groups) != NULL;
}

/* Names of devices may hold dots. */
static bool rest_names(const char *rest, const char *ifname)
{
	size_t n = strlen(ifname);
	return n && strncmp(rest, ifname, n) == 0 && (rest[n] == '.' || rest[n] == '\0');
}

static bool change_concerns(const struct fact_change *c, const char *const *ifnames, size_t count)
{
	const char *rest = group_rest(c->key, device_groups);
	if (!rest)
		return true; /* the whole machine */
	for (size_t i = 0; i < count; i++)
		if (rest_names(rest, ifnames[i]))
			return true;
	return false;
}

/* ---- pairs ---- */

struct change_set {
	const struct fleet *fleet;
	const struct member *m;
	const struct fact_change *items;
	size_t count;
};

static bool set_concerns(const struct change_set *s, const char *const *ifnames, size_t count)
{
	for (size_t i = 0; i < s->count; i++)
		if (change_is_relevant(s->m, &s->items[i]) && change_concerns(&s->items[i], ifnames, count))
			return true;
	return false;
}

static bool end_is_touched(const struct change_set *s, const struct member *end, const struct endpoint *ep,
                           const struct endpoint *other)
{
	struct place place = {0};
	char uplink[IFNAME_LEN] = "";
	if (end == s->m) {
		if (end->kind == AGENT_HOST)
			fleet_uplink(s->fleet, end, ep->ifname, other->mac, uplink);
		return set_concerns(s, (const char *const[]){ep->ifname, uplink}, 2);
	}
	if (end->kind != AGENT_GUEST || !fleet_place(s->fleet, end, ep->mac, &place) || place.host != s->m)
		return false;
	fleet_uplink(s->fleet, place.host, place.bridge, other->mac, uplink);
	return set_concerns(s, (const char *const[]){place.port, place.bridge, uplink}, 3);
}

static bool forwards(const struct member *m)
{
	int64_t v4 = 0, v6 = 0;
	snapshot_sysctl(m->snapshot, "net.ipv4.ip_forward", &v4);
	snapshot_sysctl(m->snapshot, "net.ipv6.conf.all.forwarding", &v6);
	return v4 || v6;
}

/* Forwarding itself may be what changed. */
static bool may_route(const struct change_set *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (strstr(s->items[i].key, "forward"))
			return true;
	return s->m->snapshot && forwards(s->m);
}

static bool walk_is_touched(const struct change_set *s, const struct walk *w)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->at[i].member == s->m && set_concerns(s, (const char *const[]){w->at[i].ifname}, 1))
			return true;
	return false;
}

/* Who stands in between: only pairs that are not on one segment are routed. */
static bool way_is_touched(const struct change_set *s, const struct pair *p, struct member *a, struct member *b)
{
	const struct walk_end ends[2] = {{a, &p->ep_a}, {b, &p->ep_b}};
	struct walk way[2];
	if (p->onlink || !may_route(s))
		return false;
	walk_both(s->fleet, ends, false, way);
	return walk_is_touched(s, &way[0]) || walk_is_touched(s, &way[1]);
}

static bool pair_is_touched(const struct change_set *s, const struct pair *p)
{
	struct member *a = fleet_by_id(s->fleet, p->a), *b = fleet_by_id(s->fleet, p->b);
	if (!a || !b || !a->online || !b->online)
		return false;
	return end_is_touched(s, a, &p->ep_a, &p->ep_b) || end_is_touched(s, b, &p->ep_b, &p->ep_a) || way_is_touched(s, p, a, b);
}

/* A host and a guest that it carries. */
static bool pair_is_close(const struct fleet *f, const struct pair *p)
{
	const struct member *a = fleet_by_id(f, p->a), *b = fleet_by_id(f, p->b);
	struct place place;
	if (!a || !b || a->kind == b->kind)
		return false;
	bool a_is_guest = a->kind == AGENT_GUEST;
	return fleet_place(f, a_is_guest ? a : b, a_is_guest ? p->ep_a.mac : p->ep_b.mac, &place) &&
	       place.host == (a_is_guest ? b : a);
}

size_t changes_touch(const struct fleet *f, const struct planner *p, const struct member *m, const struct fact_change *changes,
                     size_t count, uint32_t *out, size_t max)
{
	const struct change_set set = {f, m, changes, count};
	size_t n = 0;
	for (int close = 1; close >= 0; close--)
		for (uint32_t i = 0; i < planner_count(p) && n < max; i++) {
			const struct pair *pair = planner_pair(p, i);
			if (pair && pair_is_close(f, pair) == close && pair_is_touched(&set, pair))
				out[n++] = i;
		}
	return n;
}
