/* snapshot: making, copying and freeing, and the look-ups by key. Routing is in route.c. */
#include "proto/model/snapshot.h"

#include "proto/base/mem.h"

#include <stdlib.h>
#include <string.h>

struct snapshot *snapshot_new(void) { return mem_alloc(sizeof(struct snapshot)); }

/* ---- free ---- */

static void rule_clear(struct fw_rule *r)
{
	for (size_t i = 0; r->matches && i < r->match_count; i++)
		free(r->matches[i].values);
	free(r->matches);
}

static void chain_clear(struct fw_chain *c)
{
	for (size_t i = 0; c->rules && i < c->rule_count; i++)
		rule_clear(&c->rules[i]);
	free(c->rules);
}

void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	for (size_t i = 0; s->chains && i < s->chain_count; i++)
		chain_clear(&s->chains[i]);
	free(s->chains);
	free(s->links);
	free(s->addrs);
	free(s->routes);
	free(s->rules);
	free(s->neighs);
	free(s->fdbs);
	free(s->sysctls);
	free(s->counters);
	free(s->texts);
	free(s->vlans);
	free(s->listeners);
	free(s->vports);
	free(s->vswitches);
	free(s->swports);
	free(s->pnotes);
	free(s);
}

/* ---- copy ---- */

static void *array_copy(const void *items, size_t count, size_t size)
{
	if (!items || count == 0)
		return NULL;
	return memcpy(mem_array(count, size), items, count * size);
}
#define COPY(items, count) ((items) = array_copy((items), (count), sizeof *(items)))

static void rule_own(struct fw_rule *r)
{
	COPY(r->matches, r->match_count);
	for (size_t i = 0; r->matches && i < r->match_count; i++)
		COPY(r->matches[i].values, r->matches[i].value_count);
}

static void chain_own(struct fw_chain *c)
{
	COPY(c->rules, c->rule_count);
	for (size_t i = 0; c->rules && i < c->rule_count; i++)
		rule_own(&c->rules[i]);
}

struct snapshot *snapshot_copy(const struct snapshot *s)
{
	if (!s)
		return NULL;
	struct snapshot *c = snapshot_new();
	*c = *s;
	COPY(c->links, c->link_count);
	COPY(c->addrs, c->addr_count);
	COPY(c->routes, c->route_count);
	COPY(c->rules, c->rule_count);
	COPY(c->neighs, c->neigh_count);
	COPY(c->fdbs, c->fdb_count);
	COPY(c->sysctls, c->sysctl_count);
	COPY(c->counters, c->counter_count);
	COPY(c->texts, c->text_count);
	COPY(c->vlans, c->vlan_count);
	COPY(c->listeners, c->listener_count);
	COPY(c->vports, c->vport_count);
	COPY(c->vswitches, c->vswitch_count);
	COPY(c->swports, c->swport_count);
	COPY(c->pnotes, c->pnote_count);
	COPY(c->chains, c->chain_count);
	for (size_t i = 0; c->chains && i < c->chain_count; i++)
		chain_own(&c->chains[i]);
	return c;
}

/* ---- look up ---- */

const struct link *snapshot_link(const struct snapshot *s, uint32_t index)
{
	for (size_t i = 0; i < s->link_count; i++) {
		if (s->links[i].index == index)
			return &s->links[i];
	}
	return NULL;
}

const struct link *snapshot_link_named(const struct snapshot *s, const char *name)
{
	for (size_t i = 0; i < s->link_count; i++) {
		if (strcmp(s->links[i].name, name) == 0)
			return &s->links[i];
	}
	return NULL;
}

bool link_is_bridge(const struct link *l) { return strcmp(l->kind, "bridge") == 0 || strcmp(l->kind, "ovs-bridge") == 0; }

const char *snapshot_text(const struct snapshot *s, const char *name)
{
	for (size_t i = 0; i < s->text_count; i++) {
		if (strcmp(s->texts[i].name, name) == 0)
			return s->texts[i].text;
	}
	return NULL;
}

const struct addr *snapshot_addr_of(const struct snapshot *s, struct ip ip)
{
	for (size_t i = 0; i < s->addr_count; i++) {
		if (ip_equal(s->addrs[i].prefix.ip, ip))
			return &s->addrs[i];
	}
	return NULL;
}

const struct neigh *snapshot_neigh(const struct snapshot *s, struct ip ip, uint32_t link)
{
	for (size_t i = 0; i < s->neigh_count; i++) {
		const struct neigh *n = &s->neighs[i];
		if (ip_equal(n->ip, ip) && (link == 0 || n->link == link))
			return n;
	}
	return NULL;
}

static bool value_find(const struct value *values, size_t count, const char *name, int64_t *out)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(values[i].name, name) == 0) {
			*out = values[i].value;
			return true;
		}
	}
	return false;
}

bool snapshot_sysctl(const struct snapshot *s, const char *name, int64_t *out)
{
	return value_find(s->sysctls, s->sysctl_count, name, out);
}

bool snapshot_counter(const struct snapshot *s, const char *name, int64_t *out)
{
	return value_find(s->counters, s->counter_count, name, out);
}
