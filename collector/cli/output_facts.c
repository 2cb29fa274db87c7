/* Facts: what a machine is, a line for each link and a table for each group; and what changed, among what was found ill. */
#include "collector/cli/output.h"

#include "proto/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- links: one line for each ---- */

struct word {
	const char *attribute;
	const char *say;   /* a format for the value */
	const char *quiet; /* the value nobody needs to be told */
};

static const struct word LINK_WORDS[] = {
    {"kind", "%s", "none"},
    {"admin", "%s", NULL},
    {"carrier", "carrier %s", "on"},
    {"mtu", "mtu %s", NULL},
    {"mac", "%s", "00:00:00:00:00:00"},
    {"master", "in %s", "none"},
    {"parent", "on %s", NULL},
    {"mode", "mode %s", NULL},
    {"active", "active port %s", NULL},
    {"vlan", "vlan %s", NULL},
    {"vxlan.vni", "vni %s", NULL},
    {"vxlan.local", "from %s", NULL},
    {"vxlan.remote", "to %s", NULL},
    {"vxlan.port", "port %s", NULL},
    {"arp", "arp %s", "on"},
    {"stp", "stp %s", "off"},
    {"vlan_filtering", "vlan filtering %s", "off"},
    {"driver", "driver %s", NULL},
    {"speed", "%s", NULL},
    {"queues", "queues %s", NULL},
    {"offloads", "offloads %s", NULL},
};
static const struct word PORT_WORDS[] = {
    {"state", "port %s", NULL},
    {"isolated", "isolated %s", "off"},
    {"locked", "locked %s", "off"},
    {"learning", "learning %s", "on"},
    {"flood", "flood %s", "on"},
    {"mcast_flood", "mcast_flood %s", "on"},
    {"bcast_flood", "bcast_flood %s", "on"},
};

static void say(struct buf *line, const char *format, const char *value)
{
	buf_puts(line, line->len ? ", " : "");
	for (; *format; format++) {
		if (strncmp(format, "%s", 2) == 0) {
			buf_puts(line, value);
			format++;
		} else {
			buf_add(line, format, 1);
		}
	}
}

static const char *fact(const json_t *facts, const char *group, const char *name, const char *attribute)
{
	char key[256];
	snprintf(key, sizeof key, "%s.%s.%s", group, name, attribute);
	return doc_text(facts, key);
}

static void say_words(struct buf *line, const json_t *facts, const char *group, const char *name, const struct word *words,
                      size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *value = fact(facts, group, name, words[i].attribute);
		bool peer = strcmp(words[i].attribute, "parent") == 0 && strcmp(fact(facts, group, name, "kind"), "veth") == 0;
		if (*value && !(words[i].quiet && strcmp(value, words[i].quiet) == 0))
			say(line, peer ? "peer %s" : words[i].say, value);
	}
}

/* Any attribute that has no words of its own. */
static void say_others(struct buf *line, const json_t *facts, const char *name)
{
	char prefix[128], format[64];
	const char *key;
	json_t *value;
	snprintf(prefix, sizeof prefix, "link.%s.", name);
	json_object_foreach((json_t *)(uintptr_t)facts, key, value)
	{
		const char *attribute = strncmp(key, prefix, strlen(prefix)) == 0 ? key + strlen(prefix) : NULL;
		bool known = !attribute || strchr(attribute, '.') || strchr(attribute, '%');
		for (size_t i = 0; !known && i < COUNT(LINK_WORDS); i++)
			known = strcmp(attribute, LINK_WORDS[i].attribute) == 0;
		if (known)
			continue;
		snprintf(format, sizeof format, "%s %%s", attribute);
		say(line, format, json_string_value(value));
	}
}

/* "link.NAME.mtu" is there for every link, and a name may have dots in it. */
static bool name_of_link(const char *key, char *out, size_t size)
{
	size_t len = strlen(key);
	if (strncmp(key, "link.", 5) != 0 || len < 10 || strcmp(key + len - 4, ".mtu") != 0)
		return false;
	snprintf(out, size, "%.*s", (int)(len - 9), key + 5);
	return true;
}

static void show_links(struct out *o, const json_t *facts)
{
	struct table *t = table_new(2, NULL);
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)facts, key, value)
	{
		char name[64];
		struct buf line = {0};
		if (!name_of_link(key, name, sizeof name))
			continue;
		say_words(&line, facts, "link", name, LINK_WORDS, COUNT(LINK_WORDS));
		say_words(&line, facts, "port", name, PORT_WORDS, COUNT(PORT_WORDS));
		say_others(&line, facts, name);
		table_add(t, INK_PLAIN, name);
		table_add(t, INK_DIM, line.len ? line.data : "");
		buf_free(&line);
	}
	out_printf(o, INK_BOLD, "link\n");
	table_print(t, o, 2);
	table_free(t);
}

/* ---- the other groups ---- */

static bool in_group(const char *key, const char *group)
{
	size_t len = strlen(group);
	return strncmp(key, group, len) == 0 && (key[len] == '.' || key[len] == '\0');
}

/* In the order people look for them; the rest comes behind. */
static const char *const GROUPS[] = {"system", "hardware", "clock", "link",   "port",     "vlan",   "addr",   "route",
                                     "rule",   "neigh",    "fdb",   "listen", "firewall", "sysctl", "counter"};

static bool is_other(const char *key)
{
	for (size_t i = 0; i < COUNT(GROUPS); i++)
		if (in_group(key, GROUPS[i]))
			return false;
	return true;
}

/* An interface's setting that is as every new interface gets it. */
static bool is_default(const json_t *facts, const char *key, const char *value)
{
	const char *conf = strstr(key, ".conf."), *last = strrchr(key, '.');
	char general[256];
	if (strncmp(key, "sysctl.", 7) != 0 || !conf || strncmp(conf, ".conf.all.", 10) == 0 ||
	    strncmp(conf, ".conf.default.", 14) == 0)
		return false;
	snprintf(general, sizeof general, "%.*s.conf.default%s", (int)(conf - key), key, last);
	return strcmp(doc_text(facts, general), value) == 0;
}

static bool is_quiet(const json_t *facts, const char *key, const char *value)
{
	return (in_group(key, "counter") && strcmp(value, "0") == 0) || is_default(facts, key, value);
}

/* `group` NULL: those of no group. */
static void show_group(struct out *o, const json_t *facts, const char *group)
{
	struct table *t = table_new(2, NULL);
	size_t shown = 0, quiet = 0, skip = group ? strlen(group) + 1 : 0;
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)facts, key, value)
	{
		const char *text = json_is_string(value) ? json_string_value(value) : "-";
		if (!(group ? in_group(key, group) : is_other(key)))
			continue;
		if (is_quiet(facts, key, text)) {
			quiet++;
			continue;
		}
		table_add(t, INK_PLAIN, strlen(key) > skip ? key + skip : "(all)");
		table_add(t, INK_DIM, text);
		shown++;
	}
	if (shown + quiet)
		out_printf(o, INK_BOLD, "%s\n", group ? group : "other");
	if (shown)
		table_print(t, o, 2);
	if (quiet)
		out_printf(o, INK_DIM, "  and %zu %s\n", quiet,
		           strcmp(group, "counter") == 0 ? "that are zero" : "of interfaces, as by default");
	table_free(t);
}

static void show_all(struct out *o, const json_t *facts)
{
	for (size_t i = 0; i < COUNT(GROUPS); i++) {
		if (strcmp(GROUPS[i], "link") == 0)
			show_links(o, facts);
		else if (strcmp(GROUPS[i], "port") != 0)
			show_group(o, facts, GROUPS[i]);
	}
	show_group(o, facts, NULL);
}

/* ---- changes, and between them what was found ---- */

struct moment {
	const char *at; /* times as texts sort like times */
	int order;      /* of what has the same time */
	const json_t *change, *well, *ill;
};

static int moment_cmp(const void *a, const void *b)
{
	const struct moment *x = a, *y = b;
	int c = strcmp(x->at, y->at);
	return c ? c : (x->order > y->order) - (x->order < y->order);
}

struct moments {
	struct moment *items;
	size_t count, cap;
};

static void moment_add(struct moments *m, struct moment what)
{
	if (!*what.at)
		return;
	what.order = (int)m->count;
	*VEC_ADD(m->items, m->count, m->cap) = what;
}

static void moments_of(struct moments *m, const json_t *doc)
{
	const json_t *changes = doc_get(doc, "changes"), *problems = doc_get(doc, "problems");
	for (size_t i = 0; i < json_array_size(problems); i++) {
		const json_t *p = json_array_get(problems, i);
		moment_add(m, (struct moment){.at = doc_text(p, "well_at"), .well = p});
	}
	for (size_t i = 0; i < json_array_size(changes); i++) {
		const json_t *c = json_array_get(changes, i);
		moment_add(m, (struct moment){.at = doc_text(c, "at"), .change = c});
	}
	for (size_t i = 0; i < json_array_size(problems); i++) {
		const json_t *p = json_array_get(problems, i);
		moment_add(m, (struct moment){.at = doc_text(p, "ill_at"), .ill = p});
	}
	if (m->count)
		qsort(m->items, m->count, sizeof *m->items, moment_cmp);
}

static void add_moment(struct table *t, const struct out *o, const struct moment *m)
{
	const json_t *p = m->well ? m->well : m->ill, *c = m->change;
	const char *state = doc_text(p, "state"), *cause = doc_text(p, "cause");
	char ago[48];
	out_ago(o, m->at, ago, sizeof ago);
	table_add(t, INK_DIM, ago);
	if (c) {
		table_add(t, INK_PLAIN, doc_text(c, "fact"));
		table_addf(t, INK_PLAIN, "%s → %s", json_is_null(doc_get(c, "was")) ? "absent" : doc_text(c, "was"),
		           json_is_null(doc_get(c, "now")) ? "absent" : doc_text(c, "now"));
		return;
	}
	table_addf(t, INK_BOLD, "%s ⇄ %s", doc_text(p, "a"), doc_text(p, "b"));
	if (m->well)
		table_add(t, INK_GOOD, "last known to be well");
	else
		table_addf(t, state_ink(state), "found %s%s%s%s", strcmp(state, "undetermined") == 0 ? "ill, " : "", state,
		           *cause ? ": " : "", cause);
}

static void show_changes(struct out *o, const json_t *doc)
{
	struct table *t = table_new(3, NULL);
	struct moments m = {0};
	moments_of(&m, doc);
	for (size_t i = 0; i < m.count; i++)
		add_moment(t, o, &m.items[i]);
	table_print(t, o, 0);
	table_free(t);
	free(m.items);
	if (!json_array_size(doc_get(doc, "changes")))
		out_printf(o, INK_PLAIN, "nothing has changed since it was first heard\n");
}

void show_facts(struct out *o, const json_t *doc)
{
	char ago[48];
	out_ago(o, doc_text(doc, "taken"), ago, sizeof ago);
	out_printf(o, INK_BOLD, "%s/%s", doc_text(doc, "tenant"), doc_text(doc, "name"));
	out_printf(o, INK_DIM, "  read %s%s\n", ago, json_is_true(doc_get(doc, "online")) ? "" : "; offline now");
	if (doc_get(doc, "changes"))
		show_changes(o, doc);
	else
		show_all(o, doc_get(doc, "facts"));
}
