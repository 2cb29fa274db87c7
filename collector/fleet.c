/* fleet: membership, who was heard, and what changed. Placement is in fleet_place.c, endpoints in fleet_endpoint.c. */
#include "collector/fleet.h"

#include "collector/fleet_priv.h"
#include "proto/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fleet *fleet_new(void) { return mem_alloc(sizeof(struct fleet)); }

/* ---- members ---- */

static void change_clear(struct fact_change *c)
{
	free(c->key);
	free(c->was);
	free(c->now);
}

static void node_free(struct node *n)
{
	struct member *m = &n->member;
	for (size_t i = 0; i < m->change_count; i++)
		change_clear(&m->changes[i]);
	facts_free(&m->facts);
	snapshot_free(m->snapshot);
	places_free(n);
	free(n->cands);
	free(n);
}

void fleet_free(struct fleet *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->count; i++)
		node_free(f->nodes[i]);
	free(f->nodes);
	free(f->by_id);
	free(f->macs);
	free(f);
}

void fleet_import(struct fleet *f, const struct snapshot *s) { f->imported = s; }
const struct snapshot *fleet_imported(const struct fleet *f) { return f->imported; }

static int node_order(const struct node *a, const char *name, const char *tenant)
{
	int tenants = strcmp(a->member.tenant, tenant);
	return tenants ? tenants : strcmp(a->member.name, name);
}

static void node_insert(struct fleet *f, struct node *n)
{
	size_t at = f->count;
	mem_grow((void **)&f->nodes, &f->cap, f->count, sizeof(*f->nodes));
	while (at > 0 && node_order(f->nodes[at - 1], n->member.name, n->member.tenant) > 0)
		at--;
	memmove(&f->nodes[at + 1], &f->nodes[at], (f->count - at) * sizeof(*f->nodes));
	f->nodes[at] = n;
	f->count++;
}

static void ids_reach(struct fleet *f, uint32_t id)
{
	if (id < f->id_cap)
		return;
	size_t cap = (size_t)id + 1 + f->id_cap / 2;
	f->by_id = mem_resize(f->by_id, cap, sizeof(*f->by_id));
	memset(f->by_id + f->id_cap, 0, (cap - f->id_cap) * sizeof(*f->by_id));
	f->id_cap = cap;
}

static uint32_t id_next(const struct fleet *f)
{
	for (size_t id = f->id_cap; id > 1; id--)
		if (f->by_id[id - 1])
			return (uint32_t)id;
	return 1;
}

struct member *fleet_add(struct fleet *f, uint32_t id, const char *name, const char *tenant, uint8_t kind,
                         const uint8_t key[static KEY_LEN])
{
	struct node *n = mem_alloc(sizeof(*n));
	struct member *m = &n->member;
	m->id = id ? id : id_next(f);
	m->kind = kind;
	m->version = 1;
	str_copy(m->name, sizeof(m->name), name);
	str_copy(m->tenant, sizeof(m->tenant), tenant);
	memcpy(m->key, key, KEY_LEN);
	ids_reach(f, m->id);
	f->by_id[m->id] = n;
	node_insert(f, n);
	return m;
}

void fleet_remove(struct fleet *f, struct member *m)
{
	struct node *n = node_of(m);
	size_t at = 0;
	while (at < f->count && f->nodes[at] != n)
		at++;
	if (at == f->count)
		return;
	memmove(&f->nodes[at], &f->nodes[at + 1], (f->count - at - 1) * sizeof(*f->nodes));
	f->count--;
	f->by_id[m->id] = NULL;
	places_forget(f, n);
	node_free(n);
}

/* ---- looking up ---- */

size_t fleet_count(const struct fleet *f) { return f->count; }

struct member *fleet_at(const struct fleet *f, size_t i) { return i < f->count ? &f->nodes[i]->member : NULL; }

struct member *fleet_by_id(const struct fleet *f, uint32_t id)
{
	return id < f->id_cap && f->by_id[id] ? &f->by_id[id]->member : NULL;
}

struct member *fleet_by_key(const struct fleet *f, const uint8_t key[static KEY_LEN])
{
	for (size_t i = 0; i < f->count; i++)
		if (!memcmp(f->nodes[i]->member.key, key, KEY_LEN))
			return &f->nodes[i]->member;
	return NULL;
}

static bool name_matches(const struct member *m, const char *wanted)
{
	size_t len = strlen(m->tenant);
	if (!strcmp(m->name, wanted))
		return true;
	return !strncmp(m->tenant, wanted, len) && wanted[len] == '/' && !strcmp(m->name, wanted + len + 1);
}

static void candidate_name(char *list, size_t size, const struct member *m)
{
	size_t len = strlen(list);
	snprintf(list + len, size - len, "%s%s/%s", len ? ", " : "", m->tenant, m->name);
}

struct member *fleet_find(const struct fleet *f, const char *name, const char *tenant, struct err *e)
{
	struct member *found = NULL;
	char list[ERR_TEXT_MAX / 2] = "";
	size_t matches = 0;
	for (size_t i = 0; i < f->count; i++) {
		struct member *m = &f->nodes[i]->member;
		if ((tenant && strcmp(m->tenant, tenant)) || !name_matches(m, name))
			continue;
		candidate_name(list, sizeof(list), m);
		found = m;
		matches++;
	}
	if (matches == 1)
		return found;
	if (matches)
		err_set(e, "'%.64s' is ambiguous: %s", name, list);
	else
		err_set(e, "no agent is called '%.128s'", name);
	return NULL;
}

const char *fleet_title(const struct fleet *f, const struct member *m, char out[static TITLE_MAX_LEN])
{
	bool shared = false;
	for (size_t i = 0; i < f->count && !shared; i++)
		shared = &f->nodes[i]->member != m && !strcmp(f->nodes[i]->member.name, m->name);
	snprintf(out, TITLE_MAX_LEN, "%s%s%s", shared ? m->tenant : "", shared ? "/" : "", m->name);
	return out;
}

/* ---- heard ---- */

void fleet_heard(struct fleet *f, struct member *m, enum heard_by how, uint32_t relay, struct mono now, struct wall wall)
{
	bool moved = how == HEARD_RELAY && (m->heard_by != HEARD_RELAY || m->relay != relay);
	m->heard_by = how;
	if (how == HEARD_RELAY)
		m->relay = relay; /* kept when it is heard directly again: a hint */
	m->last_heard = now;
	m->last_heard_wall = wall;
	m->online = true;
	if (moved && m->kind == AGENT_GUEST)
		places_update(f, NULL, wall);
}

void fleet_way(struct member *m, enum heard_by how, uint32_t relay, const char *stream, struct mono now, struct wall wall)
{
	struct way_heard *w = &m->ways[how];
	w->at = now;
	w->wall = wall;
	w->relay = relay;
	if (strcmp(w->stream, stream) != 0)
		str_copy(w->stream, sizeof w->stream, stream);
}

bool fleet_way_works(const struct member *m, enum heard_by how, struct mono now)
{
	const struct way_heard *w = &m->ways[how];
	return m->online && w->at.ns && mono_ms_since(w->at, now) < FLEET_WAY_MS;
}

size_t fleet_tick(struct fleet *f, struct mono now)
{
	size_t changed = 0;
	for (size_t i = 0; i < f->count; i++) {
		struct member *m = &f->nodes[i]->member;
		if (!m->online || mono_ms_since(m->last_heard, now) < FLEET_OFFLINE_MS)
			continue;
		m->online = false;
		changed++;
	}
	return changed;
}

/* ---- what it says of itself ---- */

/* The newest are kept; takes over the strings. */
static void changes_keep(struct member *m, struct fact_change *fresh, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (m->change_count == FLEET_CHANGES_MAX) {
			change_clear(&m->changes[0]);
			memmove(&m->changes[0], &m->changes[1], (FLEET_CHANGES_MAX - 1) * sizeof(m->changes[0]));
			m->change_count--;
		}
		m->changes[m->change_count++] = fresh[i];
	}
	free(fresh);
}

size_t fleet_snapshot(struct fleet *f, struct member *m, struct snapshot *s, struct wall now)
{
	struct facts facts = facts_of(s);
	size_t count = 0;
	if (m->snapshot) {
		struct fact_change *fresh = NULL;
		count = facts_diff(&m->facts, &facts, now, &fresh);
		changes_keep(m, fresh, count);
	}
	facts_free(&m->facts);
	m->facts = facts;
	struct snapshot *old = m->snapshot;
	m->snapshot = s;
	snapshot_free(old);
	places_update(f, node_of(m), now);
	return count;
}

void fleet_hello(struct fleet *f, struct member *m, const struct msg_hello *h)
{
	m->hello = *h;
	m->version++; /* rights and ports are planner input */
	cands_update(f, node_of(m));
}
