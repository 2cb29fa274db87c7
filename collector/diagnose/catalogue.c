/* catalogue: reads the causes from YAML into entries, and says exactly where one is wrong. */
#include "collector/diagnose/inquiry.h"

#include "proto/base/mem.h"
#include "proto/conf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const unsigned char catalogue_yaml[]; /* catalogue/ in one file, by CMake */
extern const unsigned catalogue_yaml_len;

#define PRIOR_DEFAULT (-1.0)

#define WORDS(list) list, sizeof list / sizeof *list

static const char *const severities[] = {"info", "low", "medium", "high", "critical"};
static const char *const categories[] = {"address-config",
                                         "duplicate-addr",
                                         "arp-nd",
                                         "attack",
                                         "l2-bridge-vswitch",
                                         "loop-storm",
                                         "vlan",
                                         "routing-rpfilter",
                                         "nat-conntrack",
                                         "mtu",
                                         "firewall-guest",
                                         "firewall-host",
                                         "service-port",
                                         "vnic-queue",
                                         "cpu-sched",
                                         "driver-offload",
                                         "security-group-antispoof",
                                         "physical",
                                         "time-agent",
                                         "platform-isolation"};

struct catalogue {
	size_t count, cap;
	struct entry *items;
};

/* What is being read: for messages. */
struct reading {
	const char *name;
	struct err *e;
	struct entry *entry;
};

static int wrong(const struct reading *r, const struct conf_node *n, const char *what, const char *detail)
{
	const char *id = r->entry && r->entry->id ? r->entry->id : NULL;
	return err_set(r->e, "%s:%d: %s%s%s%s%s", r->name, n->line, id ? id : "", id ? ": " : "", what, detail ? " " : "",
	               detail ? detail : "");
}

/* ---- parts ---- */

static int read_text(const struct reading *r, const struct conf_node *n, const char *key, char **out)
{
	const struct conf_node *v = conf_get(n, key);
	if (!v || v->type != CONF_SCALAR || !v->scalar[0])
		return wrong(r, v ? v : n, "needs a text for", key);
	*out = mem_strdup(v->scalar);
	return 0;
}

static int read_number(const struct reading *r, const struct conf_node *v, double *out)
{
	char *end = NULL;
	if (v->type == CONF_SCALAR)
		*out = strtod(v->scalar, &end);
	if (!end || *end || end == v->scalar || !(*out > -100 && *out < 100))
		return wrong(r, v, "is not a weight:", v->type == CONF_SCALAR ? v->scalar : v->key);
	return 0;
}

/* A map of evidence and weights, or a list of evidence. */
static int read_weighed(const struct reading *r, const struct conf_node *n, const char *key, struct weighed *out,
                        const char **names, double *weights, size_t *count)
{
	const struct conf_node *part = conf_get(n, key);
	if (!part)
		return 0;
	if (part->type == CONF_SCALAR || part->count > EVIDENCE_MAX)
		return wrong(r, part, "needs at most 8 pieces of evidence for", key);
	for (size_t i = 0; i < part->count; i++) {
		const struct conf_node *v = part->items[i];
		const char *name = part->type == CONF_MAP ? v->key : v->type == CONF_SCALAR ? v->scalar : "";
		struct weighed *w = &out[i];
		w->evidence = evidence_find(name);
		w->weight = 1.0;
		if (!w->evidence)
			return wrong(r, v, "unknown evidence", name);
		if (part->type == CONF_MAP && read_number(r, v, &w->weight) < 0)
			return -1;
		names[i] = w->evidence->name;
		weights[i] = w->weight;
		*count = i + 1;
	}
	return 0;
}

/* A text that is one of a list. */
static int read_word(const struct reading *r, const struct conf_node *n, const char *key, const char *const *words, size_t count,
                     char **out)
{
	if (read_text(r, n, key, out) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(words[i], *out) == 0)
			return 0;
	}
	return wrong(r, conf_get(n, key), "is no such thing:", key);
}

static const char *const where_names[WHERE_COUNT] = {"src", "dst", "src-host", "dst-host", "router"};

static int read_where(const struct reading *r, const struct conf_node *n)
{
	const struct conf_node *part = conf_get(n, "where");
	if (!part || part->type != CONF_LIST || part->count == 0 || part->count > WHERE_COUNT)
		return wrong(r, part ? part : n, "needs a list for", "where");
	for (size_t i = 0; i < part->count; i++) {
		uint8_t w = 0;
		const char *text = part->items[i]->type == CONF_SCALAR ? part->items[i]->scalar : "";
		while (w < WHERE_COUNT && strcmp(where_names[w], text) != 0)
			w++;
		if (w == WHERE_COUNT)
			return wrong(r, part->items[i], "where is one of src, dst, src-host, dst-host, router, not", text);
		r->entry->where[r->entry->where_count++] = w;
	}
	return 0;
}

static char *remedy_shown(const struct remedy *r)
{
	return mem_printf("%s%s%s%s", r->platform ? r->platform : "", r->platform ? ": " : "", r->manual ? "(by hand) " : "",
	                  r->command);
}

static int read_remedy(const struct reading *r, const struct conf_node *n)
{
	struct remedy *m = &r->entry->fixes[r->entry->fix_count++];
	if (n->type != CONF_MAP)
		return wrong(r, n, "a fix has the parts at, and command or manual", NULL);
	m->manual = conf_get(n, "manual") != NULL;
	if (m->manual && conf_get(n, "command"))
		return wrong(r, n, "a fix is either a command or manual", NULL);
	const char *platform = conf_text(n, "platform"), *at = conf_text(n, "at");
	m->platform = platform ? mem_strdup(platform) : NULL;
	m->at = mem_strdup(at ? at : "who");
	if (read_text(r, n, m->manual ? "manual" : "command", &m->command) < 0)
		return -1;
	m->shown = remedy_shown(m);
	r->entry->fix_texts[r->entry->fix_count - 1] = m->shown;
	return 0;
}

static int read_fixes(const struct reading *r, const struct conf_node *n)
{
	const struct conf_node *part = conf_get(n, "fix");
	if (!part || part->type != CONF_LIST || part->count == 0 || part->count > FIXES_MAX)
		return wrong(r, part ? part : n, "needs a list of 1 to 16 for", "fix");
	for (size_t i = 0; i < part->count; i++) {
		if (read_remedy(r, part->items[i]) < 0)
			return -1;
	}
	return 0;
}

static int read_list(const struct reading *r, const struct conf_node *n, const char *key, char **out, size_t max, size_t *count)
{
	const struct conf_node *part = conf_get(n, key);
	if (!part)
		return 0;
	if (part->type != CONF_LIST || part->count > max)
		return wrong(r, part, "needs a short list for", key);
	for (size_t i = 0; i < part->count; i++) {
		if (part->items[i]->type != CONF_SCALAR)
			return wrong(r, part->items[i], "a list of texts is expected for", key);
		out[(*count)++] = mem_strdup(part->items[i]->scalar);
	}
	return 0;
}

static int read_told(const struct reading *r, const struct conf_node *n)
{
	const char *told = conf_text(n, "told");
	if (told && strcmp(told, "asked") != 0)
		return wrong(r, n, "told is asked, not", told);
	r->entry->asked = told != NULL;
	return 0;
}

/* Names of stages of a round. */
static int check_asks(const struct reading *r, const struct conf_node *n)
{
	for (size_t i = 0; i < r->entry->ask_count; i++) {
		int s = 0;
		while (s < STAGE_COUNT && strcmp(stage_name((enum stage)s), r->entry->asks[i]) != 0)
			s++;
		if (s == STAGE_COUNT)
			return wrong(r, conf_get(n, "asks"), "asks for no known stage:", r->entry->asks[i]);
	}
	return 0;
}

static int read_relatives(const struct reading *r, const struct conf_node *n)
{
	struct entry *e = r->entry;
	if (read_list(r, n, "confused_with", e->confused, CONFUSED_MAX, &e->confused_count) < 0 ||
	    read_list(r, n, "part_of", e->part_of, CONFUSED_MAX, &e->part_of_count) < 0 ||
	    read_list(r, n, "needs", e->needs, NEEDS_MAX, &e->needs_count) < 0 ||
	    read_list(r, n, "platforms", e->platforms, PLATFORMS_MAX, &e->platform_count) < 0 ||
	    read_list(r, n, "asks", e->asks, ASKS_MAX, &e->ask_count) < 0 || check_asks(r, n) < 0)
		return -1;
	return read_list(r, n, "sources", e->sources, SOURCES_MAX, &e->source_count);
}

static int check_keys(const struct reading *r, const struct conf_node *n)
{
	static const char *const known[] = {"id",     "title", "explanation", "category", "severity",    "platforms",     "where",
	                                    "blames", "prior", "requires",    "supports", "contradicts", "confused_with", "part_of",
	                                    "told",   "fix",   "verify",      "zh",       "needs",       "sources",       "asks",
	                                    "unlike"};
	for (size_t i = 0; i < n->count; i++) {
		size_t k = 0;
		while (k < sizeof known / sizeof *known && strcmp(n->items[i]->key, known[k]) != 0)
			k++;
		if (k == sizeof known / sizeof *known)
			return wrong(r, n->items[i], "unknown part", n->items[i]->key);
	}
	return 0;
}

static int read_texts(const struct reading *r, const struct conf_node *n)
{
	struct entry *e = r->entry;
	const char *blames = conf_text(n, "blames"), *verify = conf_text(n, "verify"), *unlike = conf_text(n, "unlike");
	const struct conf_node *prior = conf_get(n, "prior");
	e->prior = PRIOR_DEFAULT;
	e->blames = blames ? mem_strdup(blames) : NULL;
	e->unlike = unlike ? mem_strdup(unlike) : NULL;
	e->verify = mem_strdup(verify ? verify : "bothways diagnose {a} {b}{service}");
	if (read_text(r, n, "title", &e->title) < 0 || read_text(r, n, "explanation", &e->explanation) < 0 ||
	    read_word(r, n, "category", WORDS(categories), &e->category) < 0 ||
	    read_word(r, n, "severity", WORDS(severities), &e->severity) < 0)
		return -1;
	return prior ? read_number(r, prior, &e->prior) : 0;
}

/* The same in Chinese; until every entry has it, it may be absent. */
static int read_chinese(const struct reading *r, const struct conf_node *n)
{
	const struct conf_node *zh = conf_get(n, "zh");
	if (!zh)
		return 0;
	if (zh->type != CONF_MAP)
		return wrong(r, zh, "zh has the parts title and explanation", NULL);
	if (read_text(r, zh, "title", &r->entry->title_zh) < 0)
		return -1;
	return read_text(r, zh, "explanation", &r->entry->explanation_zh);
}

static int read_entry(const struct reading *r, const struct conf_node *n)
{
	struct entry *e = r->entry;
	if (n->type != CONF_MAP)
		return wrong(r, n, "a cause is a map", NULL);
	e->line = n->line;
	if (read_text(r, n, "id", &e->id) < 0 || check_keys(r, n) < 0 || read_texts(r, n) < 0 || read_where(r, n) < 0)
		return -1;
	if (read_weighed(r, n, "requires", e->requires, e->names[0], e->weights[0], &e->requires_count) < 0 ||
	    read_weighed(r, n, "supports", e->supports, e->names[1], e->weights[1], &e->supports_count) < 0 ||
	    read_weighed(r, n, "contradicts", e->contradicts, e->names[2], e->weights[2], &e->contradicts_count) < 0)
		return -1;
	if (e->requires_count == 0)
		return wrong(r, n, "needs evidence for", "requires");
	if (read_chinese(r, n) < 0)
		return -1;
	return read_fixes(r, n) < 0 || read_told(r, n) < 0 ? -1 : read_relatives(r, n);
}

/* ---- the whole ---- */

static void entry_free(struct entry *e)
{
	free(e->id);
	free(e->title);
	free(e->explanation);
	free(e->category);
	free(e->severity);
	free(e->verify);
	free(e->blames);
	for (size_t i = 0; i < e->fix_count; i++) {
		free(e->fixes[i].at);
		free(e->fixes[i].command);
		free(e->fixes[i].platform);
		free(e->fixes[i].shown);
	}
	for (size_t i = 0; i < e->confused_count; i++)
		free(e->confused[i]);
	for (size_t i = 0; i < e->part_of_count; i++)
		free(e->part_of[i]);
	free(e->title_zh);
	free(e->explanation_zh);
	for (size_t i = 0; i < e->needs_count; i++)
		free(e->needs[i]);
	for (size_t i = 0; i < e->source_count; i++)
		free(e->sources[i]);
	for (size_t i = 0; i < e->platform_count; i++)
		free(e->platforms[i]);
	for (size_t i = 0; i < e->ask_count; i++)
		free(e->asks[i]);
	free(e->unlike);
}

void catalogue_free(struct catalogue *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->count; i++)
		entry_free(&c->items[i]);
	free(c->items);
	free(c);
}

static int read_all(struct catalogue *c, const struct conf_node *list, struct reading *r)
{
	for (size_t i = 0; i < list->count; i++) {
		r->entry = VEC_ADD(c->items, c->count, c->cap);
		if (read_entry(r, list->items[i]) < 0)
			return -1;
		int first = catalogue_find(c, r->entry->id);
		if ((size_t)first + 1 != c->count)
			return wrong(r, list->items[i], "stands twice", NULL);
	}
	return 0;
}

static int check_known(const struct catalogue *c, const struct reading *r, const char *key, char *const *names, size_t count)
{
	struct conf_node at = {.line = r->entry->line};
	char what[80];
	snprintf(what, sizeof what, "%s names no cause of this catalogue:", key);
	for (size_t k = 0; k < count; k++) {
		if (catalogue_find(c, names[k]) < 0)
			return wrong(r, &at, what, names[k]);
	}
	return 0;
}

/* Names of causes must exist; the texts for catalogue_get move with the entries, so they are pointed at last. */
static int check_names(struct catalogue *c, struct reading *r)
{
	for (size_t i = 0; i < c->count; i++) {
		struct entry *e = r->entry = &c->items[i];
		if (check_known(c, r, "confused_with", e->confused, e->confused_count) < 0 ||
		    check_known(c, r, "part_of", e->part_of, e->part_of_count) < 0)
			return -1;
	}
	return 0;
}

struct catalogue *catalogue_new(const struct conf_node *yaml, const char *name, struct err *e)
{
	const struct conf_node *list = yaml && yaml->type == CONF_MAP ? conf_get(yaml, "causes") : NULL;
	if (!list || list->type != CONF_LIST) {
		err_set(e, "%s:%d: needs a list named causes", name, yaml ? yaml->line : 1);
		return NULL;
	}
	struct catalogue *c = mem_alloc(sizeof *c);
	struct reading r = {.name = name, .e = e};
	if (read_all(c, list, &r) < 0 || check_names(c, &r) < 0) {
		catalogue_free(c);
		return NULL;
	}
	return c;
}

struct catalogue *catalogue_builtin(struct err *e)
{
	const char *name = "catalogue.yaml (compiled in)";
	struct conf_node *yaml = conf_parse(name, (const char *)catalogue_yaml, catalogue_yaml_len, e);
	struct catalogue *c = yaml ? catalogue_new(yaml, name, e) : NULL;
	conf_free(yaml);
	return c;
}

size_t catalogue_count(const struct catalogue *c) { return c->count; }
const struct entry *catalogue_entry(const struct catalogue *c, size_t i) { return i < c->count ? &c->items[i] : NULL; }

int catalogue_find(const struct catalogue *c, const char *id)
{
	for (size_t i = 0; i < c->count; i++) {
		if (c->items[i].id && strcmp(c->items[i].id, id) == 0)
			return (int)i;
	}
	return -1;
}

int catalogue_shift(struct catalogue *c, const char *id, double log_odds)
{
	int at = catalogue_find(c, id);
	if (at < 0 || !isfinite(log_odds))
		return -1;
	c->items[at].shift = fmax(-CATALOGUE_SHIFT_MAX, fmin(CATALOGUE_SHIFT_MAX, log_odds));
	return 0;
}

bool catalogue_get(const struct catalogue *c, size_t i, struct catalogue_entry *out)
{
	const struct entry *e = catalogue_entry(c, i);
	if (!e)
		return false;
	*out = (struct catalogue_entry){.id = e->id,
	                                .title = e->title,
	                                .explanation = e->explanation,
	                                .category = e->category,
	                                .severity = e->severity,
	                                .verify = e->verify,
	                                .unlike = e->unlike,
	                                .title_zh = e->title_zh,
	                                .explanation_zh = e->explanation_zh,
	                                .prior = e->prior,
	                                .shift = e->shift,
	                                .needs_count = e->needs_count,
	                                .source_count = e->source_count,
	                                .platform_count = e->platform_count,
	                                .ask_count = e->ask_count,
	                                .needs = (const char *const *)e->needs,
	                                .sources = (const char *const *)e->sources,
	                                .platforms = (const char *const *)e->platforms,
	                                .asks = (const char *const *)e->asks,
	                                .requires_count = e->requires_count,
	                                .supports_count = e->supports_count,
	                                .contradicts_count = e->contradicts_count,
	                                .fix_count = e->fix_count,
	                                .confused_count = e->confused_count,
	                                .requires_weights = e->weights[0],
	                                .supports_weights = e->weights[1],
	                                .requires = e->names[0],
	                                .supports = e->names[1],
	                                .contradicts = e->names[2],
	                                .fixes = e->fix_texts,
	                                .confused_with = (const char *const *)e->confused};
	return true;
}

bool catalogue_fix_get(const struct catalogue *c, size_t i, size_t k, struct catalogue_fix *out)
{
	const struct entry *e = catalogue_entry(c, i);
	if (!e || k >= e->fix_count)
		return false;
	const struct remedy *r = &e->fixes[k];
	*out = (struct catalogue_fix){.at = r->at, .command = r->command, .platform = r->platform, .manual = r->manual};
	return true;
}
