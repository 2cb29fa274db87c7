/* fact: flattens a snapshot into sorted keys and values, and compares two such lists. */
#include "proto/model/fact.h"

#include "proto/base/mem.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- building ---- */

static uint64_t hash_add(uint64_t h, const char *text) /* FNV-1a, the NUL included */
{
	do {
		h = (h ^ (uint8_t)*text) * 0x100000001b3ULL;
	} while (*text++);
	return h;
}
#define HASH_START 0xcbf29ce484222325ULL

/* A value that had to be cut still differs when only its tail differs: the tail is replaced by a digest of the whole. */
static char *value_bounded(const char *text)
{
	if (strlen(text) < FACT_VALUE_MAX)
		return mem_strdup(text);
	return mem_printf("%.*s ... [%016llx]", FACT_VALUE_MAX - 32, text, (unsigned long long)hash_add(HASH_START, text));
}

static void add_text(struct facts *f, const char *key, const char *value)
{
	struct fact *fact = VEC_ADD(f->items, f->count, f->cap);
	fact->key = mem_printf("%.*s", FACT_KEY_MAX - 1, key);
	fact->value = value_bounded(value);
}

/* The value, and then the key as a format. */
static void add(struct facts *f, const char *value, const char *key, ...) __attribute__((format(printf, 3, 4)));
static void add(struct facts *f, const char *value, const char *key, ...)
{
	char text[FACT_KEY_MAX];
	va_list ap;
	va_start(ap, key);
	vsnprintf(text, sizeof text, key, ap);
	va_end(ap);
	add_text(f, text, value);
}

static const char *name_of(const struct snapshot *s, uint32_t link)
{
	const struct link *l = snapshot_link(s, link);
	return l ? l->name : "?";
}

static const char *number_text(uint32_t number, char out[static IP_TEXT_MAX])
{
	snprintf(out, IP_TEXT_MAX, "%u", number);
	return out;
}

static const char *on_off(bool b) { return b ? "on" : "off"; }
static const char *text_or(const char *text, const char *otherwise) { return text[0] ? text : otherwise; }

/* ---- links ---- */

static const char *port_state_name(uint8_t state)
{
	static const char *const names[] = {"disabled", "listening", "learning", "forwarding", "blocking"};
	return state < sizeof names / sizeof *names ? names[state] : "?";
}

static void add_port(struct facts *f, const struct link *l)
{
	add(f, port_state_name(l->port_state), "port.%s.state", l->name);
	add(f, on_off(l->isolated), "port.%s.isolated", l->name);
	add(f, on_off(l->learning), "port.%s.learning", l->name);
	add(f, on_off(l->flood), "port.%s.flood", l->name);
	add(f, on_off(l->mcast_flood), "port.%s.mcast_flood", l->name);
	add(f, on_off(l->bcast_flood), "port.%s.bcast_flood", l->name);
	add(f, on_off(l->locked), "port.%s.locked", l->name);
}

/* The device below or beside: a number of another namespace tells nobody anything. */
static void add_below(struct facts *f, const struct snapshot *s, const struct link *l)
{
	char text[IP_TEXT_MAX];
	if (l->parent || l->parent_elsewhere)
		add(f, l->parent_elsewhere ? "elsewhere" : name_of(s, l->parent), "link.%s.parent", l->name);
	if (l->mode[0])
		add(f, l->mode, "link.%s.mode", l->name);
	if (l->active)
		add(f, name_of(s, l->active), "link.%s.active", l->name);
	if (strcmp(l->kind, "vlan") == 0)
		add(f, number_text(l->vlan, text), "link.%s.vlan", l->name);
	if (strcmp(l->kind, "vxlan") != 0)
		return;
	add(f, number_text(l->vni, text), "link.%s.vxlan.vni", l->name);
	add(f, number_text(l->vx_port, text), "link.%s.vxlan.port", l->name);
	if (l->vx_local.family)
		add(f, ip_format(l->vx_local, text), "link.%s.vxlan.local", l->name);
	if (l->vx_remote.family)
		add(f, ip_format(l->vx_remote, text), "link.%s.vxlan.remote", l->name);
}

static void print_offloads(struct buf *b, uint32_t offloads)
{
	static const char *const names[] = {"rx-csum", "tx-csum", "tso", "gso", "gro", "lro", "rx-vlan", "tx-vlan"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (offloads & 1u << i)
			buf_printf(b, "%s%s", b->len ? " " : "", names[i]);
	if (!b->len)
		buf_puts(b, "none");
}

/* What the kind does not tell already: a veth's driver is "veth", and its speed is invented. */
static void add_device(struct facts *f, const struct link *l)
{
	bool hardware = !l->kind[0] && !l->loopback;
	char text[80];
	if (hardware && l->driver[0]) {
		snprintf(text, sizeof text, "%s%s%s", l->driver, l->driver_version[0] ? " " : "", l->driver_version);
		add(f, text, "link.%s.driver", l->name);
	}
	if (l->offloads_known) {
		struct buf b = {0};
		print_offloads(&b, l->offloads);
		add(f, b.data, "link.%s.offloads", l->name);
		buf_free(&b);
	}
	if (l->rx_queues > 1 || l->tx_queues > 1 || (hardware && l->rx_queues)) {
		snprintf(text, sizeof text, "%u in, %u out", l->rx_queues, l->tx_queues);
		add(f, text, "link.%s.queues", l->name);
	}
	if (hardware && l->speed) {
		snprintf(text, sizeof text, "%u Mbit/s", l->speed);
		add(f, text, "link.%s.speed", l->name);
	}
}

static void add_link(struct facts *f, const struct snapshot *s, const struct link *l)
{
	char mac[MAC_TEXT_MAX], mtu[16];
	snprintf(mtu, sizeof mtu, "%u", l->mtu);
	add(f, mac_format(l->mac, mac), "link.%s.mac", l->name);
	add(f, mtu, "link.%s.mtu", l->name);
	add(f, l->up ? "up" : "down", "link.%s.admin", l->name);
	add(f, on_off(l->carrier), "link.%s.carrier", l->name);
	add(f, l->master ? name_of(s, l->master) : "none", "link.%s.master", l->name);
	add(f, text_or(l->kind, "none"), "link.%s.kind", l->name);
	add(f, on_off(!l->noarp), "link.%s.arp", l->name);
	if (link_is_bridge(l)) {
		add(f, on_off(l->stp), "link.%s.stp", l->name);
		add(f, on_off(l->vlan_filtering), "link.%s.vlan_filtering", l->name);
	}
	add_below(f, s, l);
	add_device(f, l);
	if (l->port)
		add_port(f, l);
}

static void add_links(struct facts *f, const struct snapshot *s)
{
	for (size_t i = 0; i < s->link_count; i++)
		add_link(f, s, &s->links[i]);
}

static void add_vlans(struct facts *f, const struct snapshot *s)
{
	for (size_t i = 0; i < s->vlan_count; i++) {
		const struct port_vlan *v = &s->vlans[i];
		char range[16], text[32];
		snprintf(range, sizeof range, v->last > v->vid ? "%u-%u" : "%u", v->vid, v->last);
		snprintf(text, sizeof text, "%s%s", v->pvid ? "pvid " : "", v->untagged ? "untagged" : "tagged");
		add(f, text, "vlan.%s.%s", name_of(s, v->link), range);
	}
}

/* Tentative is a matter of seconds, not a change that somebody made. */
static void add_addrs(struct facts *f, const struct snapshot *s)
{
	char text[PREFIX_TEXT_MAX];
	for (size_t i = 0; i < s->addr_count; i++) {
		const struct addr *a = &s->addrs[i];
		const char *how = a->dadfailed ? "dadfailed" : a->temporary ? "temporary" : a->leased ? "leased" : "present";
		add(f, how, "addr.%s.%s", name_of(s, a->link), prefix_format(a->prefix, text));
	}
}

/* ---- routes and rules ---- */

static const char *type_name(uint8_t type) /* RTN_* and FR_ACT_* agree on these */
{
	switch (type) {
	case ROUTE_BLACKHOLE: return "blackhole";
	case ROUTE_UNREACHABLE: return "unreachable";
	case ROUTE_PROHIBIT: return "prohibit";
	case 9: return "throw";
	default: return "unknown";
	}
}

static const char *dst_text(struct prefix dst, char out[static PREFIX_TEXT_MAX])
{
	return dst.len == 0 ? "default" : prefix_format(dst, out);
}

static void print_route(struct buf *b, const struct snapshot *s, const struct route *r)
{
	char ip[IP_TEXT_MAX];
	buf_puts(b, r->type == ROUTE_UNICAST ? "unicast" : type_name(r->type));
	if (r->gateway.family)
		buf_printf(b, " via %s", ip_format(r->gateway, ip));
	if (r->link)
		buf_printf(b, " dev %s", name_of(s, r->link));
	if (r->source.family)
		buf_printf(b, " src %s", ip_format(r->source, ip));
	if (r->metric)
		buf_printf(b, " metric %u", r->metric);
	if (r->mtu)
		buf_printf(b, " mtu %u", r->mtu);
}

static void add_routes(struct facts *f, const struct snapshot *s)
{
	char dst[PREFIX_TEXT_MAX], table[16];
	for (size_t i = 0; i < s->route_count; i++) {
		const struct route *r = &s->routes[i];
		struct buf value = {0};
		print_route(&value, s, r);
		snprintf(table, sizeof table, "%u.", r->table);
		add(f, value.data, "route.%d.%s%s", r->dst.ip.family, r->table == 254 ? "" : table, dst_text(r->dst, dst));
		buf_free(&value);
	}
}

static void print_rule(struct buf *b, const struct policy_rule *r)
{
	char text[PREFIX_TEXT_MAX];
	buf_printf(b, "from %s", r->src.ip.family ? prefix_format(r->src, text) : "all");
	if (r->dst.ip.family)
		buf_printf(b, " to %s", prefix_format(r->dst, text));
	if (r->iif[0])
		buf_printf(b, " iif %s", r->iif);
	if (r->oif[0])
		buf_printf(b, " oif %s", r->oif);
	if (r->fwmark)
		buf_printf(b, " fwmark 0x%x", r->fwmark);
	if (r->action == 1)
		buf_printf(b, " lookup %u", r->table);
	else
		buf_printf(b, " %s", type_name(r->action));
}

static void add_rules(struct facts *f, const struct snapshot *s)
{
	for (size_t i = 0; i < s->rule_count; i++) {
		struct buf value = {0};
		print_rule(&value, &s->rules[i]);
		add(f, value.data, "rule.%d.%u", s->rules[i].family, s->rules[i].priority);
		buf_free(&value);
	}
}

/* ---- values and listeners ---- */

static void add_values(struct facts *f, const char *what, const struct value *values, size_t count)
{
	char text[24];
	for (size_t i = 0; i < count; i++) {
		snprintf(text, sizeof text, "%lld", (long long)values[i].value);
		add(f, text, "%s.%s", what, values[i].name);
	}
}

static void add_sysctls(struct facts *f, const struct snapshot *s) { add_values(f, "sysctl", s->sysctls, s->sysctl_count); }
static void add_counters(struct facts *f, const struct snapshot *s) { add_values(f, "counter", s->counters, s->counter_count); }

static void add_listeners(struct facts *f, const struct snapshot *s)
{
	char ip[IP_TEXT_MAX];
	for (size_t i = 0; i < s->listener_count; i++) {
		const struct listener *l = &s->listeners[i];
		const char *proto = l->proto == IPPROTO_TCP ? "tcp" : "udp";
		add(f, l->v6only ? "v6only" : "listening", "listen.%s.%s.%u", proto, ip_format(l->ip, ip), l->port);
	}
}

static void add_texts(struct facts *f, const struct snapshot *s)
{
	for (size_t i = 0; i < s->text_count; i++)
		add(f, s->texts[i].text, "%s", s->texts[i].name);
}

static void add_system(struct facts *f, const struct snapshot *s)
{
	add(f, s->hostname, "system.hostname");
	add(f, s->kernel, "system.kernel");
	if (s->platform[0])
		add(f, s->platform, "system.platform");
}

/* ---- firewall ---- */

static const char *const firewall_names[] = {
    [FW_NOT_READ] = NULL, [FW_READ] = "read", [FW_NO_RIGHTS] = "no rights", [FW_TRUNCATED] = "read in part"};

static void print_chain(struct buf *b, const struct fw_chain *c)
{
	if (c->hook[0])
		buf_printf(b, "hook %s priority %d policy %s: ", c->hook, c->priority, c->policy == FW_DROP ? "drop" : "accept");
	for (size_t i = 0; i < c->rule_count; i++)
		buf_printf(b, "%s%s", i ? "; " : "", c->rules[i].text);
	if (c->rule_count == 0)
		buf_puts(b, "(no rules)");
}

static void add_firewall(struct facts *f, const struct snapshot *s)
{
	if (s->firewall_known >= sizeof firewall_names / sizeof *firewall_names || !firewall_names[s->firewall_known])
		return;
	add(f, firewall_names[s->firewall_known], "firewall");
	for (size_t i = 0; i < s->chain_count; i++) {
		const struct fw_chain *c = &s->chains[i];
		struct buf value = {0};
		print_chain(&value, c);
		add(f, value.data, "firewall.%s.%s.%s", c->family, c->table, c->name);
		buf_free(&value);
	}
}

/* ---- platforms and switches ---- */

struct rows {
	const void *items;
	size_t count;
};

static void add_prow(struct facts *f, const struct ptable *t, const void *row, bool passing)
{
	char name[2 * PLATFORM_NAME_MAX], text[PLATFORM_MACS_MAX * MAC_TEXT_MAX + 64];
	prow_name(t, row, name, sizeof name);
	for (size_t i = 0; i < t->count; i++) {
		if (t->fields[i].passing == passing && pfield_get(&t->fields[i], row, text, sizeof text))
			add(f, text, "%s%s.%s.%s", passing ? "counter." : "", t->row, name, t->fields[i].name);
	}
}

static void add_prows(struct facts *f, const struct snapshot *s, bool passing)
{
	const struct rows rows[PTABLE_COUNT] = {{s->vports, s->vport_count},
	                                        {s->vswitches, s->vswitch_count},
	                                        {s->swports, s->swport_count},
	                                        {s->pnotes, s->pnote_count}};
	for (size_t t = 0; t < PTABLE_COUNT; t++) {
		for (size_t i = 0; i < rows[t].count; i++)
			add_prow(f, &platform_tables[t], (const char *)rows[t].items + i * platform_tables[t].size, passing);
	}
}

static void add_platforms(struct facts *f, const struct snapshot *s) { add_prows(f, s, false); }
static void add_platforms_passing(struct facts *f, const struct snapshot *s) { add_prows(f, s, true); }

/* ---- volatile ---- */

static const char *neigh_state_name(uint16_t state)
{
	static const char *const names[] = {"incomplete", "reachable", "stale", "delay", "probe", "failed", "noarp", "permanent"};
	for (size_t i = 0; i < 8; i++) {
		if (state & (1u << i))
			return names[i];
	}
	return "none";
}

static void add_neighs(struct facts *f, const struct snapshot *s)
{
	char mac[MAC_TEXT_MAX], ip[IP_TEXT_MAX], value[48];
	for (size_t i = 0; i < s->neigh_count; i++) {
		const struct neigh *n = &s->neighs[i];
		snprintf(value, sizeof value, "%s %s", mac_is_set(n->mac) ? mac_format(n->mac, mac) : "-",
		         neigh_state_name(n->state));
		add(f, value, "neigh.%s.%s", name_of(s, n->link), ip_format(n->ip, ip));
	}
}

static void add_fdbs(struct facts *f, const struct snapshot *s)
{
	char mac[MAC_TEXT_MAX], ip[IP_TEXT_MAX], value[160];
	for (size_t i = 0; i < s->fdb_count; i++) {
		const struct fdb *e = &s->fdbs[i];
		const char *port = e->remote.family && e->port == e->bridge ? "own" : name_of(s, e->port);
		int n = snprintf(value, sizeof value, "%s%s%s%s", port, e->local ? " local" : "", e->is_static ? " static" : "",
		                 e->sticky ? " sticky" : "");
		if (e->vlan)
			n += snprintf(value + n, sizeof value - (size_t)n, " vlan %u", e->vlan);
		if (e->remote.family)
			snprintf(value + n, sizeof value - (size_t)n, " remote %s", ip_format(e->remote, ip));
		add(f, value, "fdb.%s.%s", name_of(s, e->bridge), mac_format(e->mac, mac));
	}
}

static void add_traffic(struct facts *f, const struct snapshot *s)
{
	for (size_t i = 0; i < s->link_count; i++) {
		const struct link *l = &s->links[i];
		const struct {
			const char *name;
			uint64_t value;
			bool always;
		} counts[] = {{"rx_packets", l->rx_packets, true},  {"tx_packets", l->tx_packets, true},
		              {"rx_dropped", l->rx_dropped, false}, {"tx_dropped", l->tx_dropped, false},
		              {"rx_errors", l->rx_errors, false},   {"tx_errors", l->tx_errors, false}};
		for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
			char text[24];
			snprintf(text, sizeof text, "%llu", (unsigned long long)counts[k].value);
			if (counts[k].value || counts[k].always)
				add(f, text, "counter.link.%s.%s", l->name, counts[k].name);
		}
	}
}

/* ---- the list ---- */

typedef void adder(struct facts *f, const struct snapshot *s);
static adder *const lasting[] = {add_system, add_texts,   add_links,     add_vlans,    add_addrs,    add_routes,
                                 add_rules,  add_sysctls, add_listeners, add_firewall, add_platforms};
static adder *const passing[] = {add_neighs, add_fdbs, add_traffic, add_counters, add_platforms_passing};

static int fact_cmp(const void *a, const void *b)
{
	const struct fact *x = a, *y = b;
	int c = strcmp(x->key, y->key);
	return c ? c : strcmp(x->value, y->value);
}

static void fact_clear(struct fact *f)
{
	free(f->key);
	free(f->value);
}

static void drop_repeats(struct facts *f)
{
	size_t kept = 0;
	for (size_t i = 1; i < f->count; i++) {
		if (fact_cmp(&f->items[kept], &f->items[i]) == 0)
			fact_clear(&f->items[i]);
		else
			f->items[++kept] = f->items[i];
	}
	f->count = kept + 1;
}

/* Two routes to one destination, two sockets on one port: one fact with both values, in sorted order. */
static void merge_into(struct fact *kept, struct fact *same)
{
	char *both = mem_printf("%s; %s", kept->value, same->value);
	free(kept->value);
	kept->value = value_bounded(both);
	free(both);
	fact_clear(same);
}

static void sort_and_merge(struct facts *f)
{
	size_t kept = 0;
	if (f->count == 0)
		return;
	qsort(f->items, f->count, sizeof *f->items, fact_cmp);
	drop_repeats(f);
	for (size_t i = 1; i < f->count; i++) {
		if (strcmp(f->items[kept].key, f->items[i].key) == 0)
			merge_into(&f->items[kept], &f->items[i]);
		else
			f->items[++kept] = f->items[i];
	}
	f->count = kept + 1;
}

static void run(struct facts *f, const struct snapshot *s, adder *const *adders, size_t count)
{
	for (size_t i = 0; i < count; i++)
		adders[i](f, s);
}

struct facts facts_of(const struct snapshot *s)
{
	struct facts f = {0};
	run(&f, s, lasting, sizeof lasting / sizeof *lasting);
	sort_and_merge(&f);
	return f;
}

struct facts facts_of_all(const struct snapshot *s)
{
	struct facts f = {0};
	run(&f, s, lasting, sizeof lasting / sizeof *lasting);
	run(&f, s, passing, sizeof passing / sizeof *passing);
	sort_and_merge(&f);
	return f;
}

static int key_cmp(const void *key, const void *item) { return strcmp(key, ((const struct fact *)item)->key); }

bool fact_is_route(const char *key, struct prefix *dst)
{
	int family = strncmp(key, "route.4.", 8) == 0 ? 4 : strncmp(key, "route.6.", 8) == 0 ? 6 : 0;
	if (!family)
		return false;
	if (strcmp(key + 8, "default") == 0) {
		*dst = (struct prefix){.ip.family = (uint8_t)family};
		return true;
	}
	return prefix_parse(key + 8, dst) == 0 && dst->ip.family == family;
}

const char *facts_get(const struct facts *f, const char *key)
{
	const struct fact *found = f->count ? bsearch(key, f->items, f->count, sizeof *f->items, key_cmp) : NULL;
	return found ? found->value : NULL;
}

uint64_t facts_digest(const struct facts *f)
{
	uint64_t h = HASH_START;
	for (size_t i = 0; i < f->count; i++)
		h = hash_add(hash_add(h, f->items[i].key), f->items[i].value);
	return h;
}

/* ---- comparing ---- */

/* A ruleset that was not read on one side is not a ruleset that was removed. */
static bool firewall_comparable(const struct facts *was, const struct facts *now)
{
	const char *a = facts_get(was, "firewall"), *b = facts_get(now, "firewall");
	return a && b && strcmp(a, "read") == 0 && strcmp(b, "read") == 0;
}

static bool is_firewall(const char *key) { return strncmp(key, "firewall", 8) == 0 && (key[8] == '.' || key[8] == '\0'); }

/* What only accompanies a link, or is read as a whole or not at all: that it is there, or not, is nobody's doing. */
static bool is_attendant(const char *key)
{
	static const char *const attendants[][2] = {
	    {"link.", ".offloads"}, {"link.", ".driver"}, {"link.", ".queues"},          {"link.", ".speed"},
	    {"link.", ".parent"},   {"link.", ".mode"},   {"sysctl.net.ipv4.conf.", ""}, {"sysctl.net.ipv6.conf.", ""},
	    {"clock.", ""},         {"hardware.", ""},
	};
	size_t len = strlen(key);
	for (size_t i = 0; i < sizeof attendants / sizeof *attendants; i++) {
		size_t head = strlen(attendants[i][0]), tail = strlen(attendants[i][1]);
		if (len >= head + tail && strncmp(key, attendants[i][0], head) == 0 &&
		    strcmp(key + len - tail, attendants[i][1]) == 0)
			return true;
	}
	return false;
}

struct changes {
	struct fact_change *items;
	size_t count, cap;
	struct wall at;
	bool firewall;
};

static void change_add(struct changes *c, const struct fact *was, const struct fact *now)
{
	const char *key = was ? was->key : now->key;
	if ((is_firewall(key) && !c->firewall) || ((!was || !now) && is_attendant(key)))
		return;
	struct fact_change *fc = VEC_ADD(c->items, c->count, c->cap);
	fc->key = mem_strdup(key);
	fc->was = was ? mem_strdup(was->value) : NULL;
	fc->now = now ? mem_strdup(now->value) : NULL;
	fc->at = c->at;
}

size_t facts_diff(const struct facts *was, const struct facts *now, struct wall at, struct fact_change **out)
{
	struct changes c = {.at = at, .firewall = firewall_comparable(was, now)};
	size_t i = 0, j = 0;
	while (i < was->count || j < now->count) {
		const struct fact *a = i < was->count ? &was->items[i] : NULL;
		const struct fact *b = j < now->count ? &now->items[j] : NULL;
		int order = !a ? 1 : !b ? -1 : strcmp(a->key, b->key);
		if (order != 0 || strcmp(a->value, b->value) != 0)
			change_add(&c, order <= 0 ? a : NULL, order >= 0 ? b : NULL);
		i += order <= 0;
		j += order >= 0;
	}
	*out = c.items;
	return c.count;
}

void facts_free(struct facts *f)
{
	for (size_t i = 0; i < f->count; i++)
		fact_clear(&f->items[i]);
	free(f->items);
	memset(f, 0, sizeof *f);
}

void fact_changes_free(struct fact_change *changes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(changes[i].key);
		free(changes[i].was);
		free(changes[i].now);
	}
	free(changes);
}
