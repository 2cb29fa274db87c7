#include "collector/lint.h"

#include "collector/lint_parts.h"
#include "proto/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXTS_AT_ONCE 8

static const struct {
	const struct lint_check *checks;
	const size_t *count;
} TABLES[] = {{LINT_MACHINE, &LINT_MACHINE_COUNT},
              {LINT_ROUTES, &LINT_ROUTES_COUNT},
              {LINT_SEGMENT, &LINT_SEGMENT_COUNT},
              {LINT_FILTER, &LINT_FILTER_COUNT},
              {LINT_NAT, &LINT_NAT_COUNT}};
#define TABLE_COUNT (sizeof TABLES / sizeof *TABLES)

size_t lint_check_count(void)
{
	size_t sum = 0;
	for (size_t i = 0; i < TABLE_COUNT; i++)
		sum += *TABLES[i].count;
	return sum;
}

const struct lint_check *lint_check_at(size_t i)
{
	size_t t = 0;
	while (i >= *TABLES[t].count)
		i -= *TABLES[t++].count;
	return &TABLES[t].checks[i];
}

const char *lint_severity_name(enum lint_severity s)
{
	static const char *const NAMES[] = {"note", "warning", "serious"};
	return NAMES[s];
}

/* ---- telling ---- */

struct finding *lint_add(struct lint *l, const struct lint_check *check, const struct member *who, const char *component)
{
	struct lint_result *r = l->result;
	for (size_t i = 0; i < r->count; i++)
		if (r->findings[i].check == check && r->findings[i].who == who && strcmp(r->findings[i].component, component) == 0)
			return NULL;
	if (r->count == LINT_FINDINGS_MAX) {
		r->left_out++;
		return NULL;
	}
	if (!r->findings)
		r->findings = mem_array(LINT_FINDINGS_MAX, sizeof *r->findings);
	struct finding *f = &r->findings[r->count++];
	*f = (struct finding){.check = check, .who = who};
	str_copy(f->component, sizeof f->component, component);
	return f;
}

static char *text_make(const char *fmt, va_list ap)
{
	char *text = NULL;
	return vasprintf(&text, fmt, ap) < 0 ? mem_strdup("") : text;
}

void finding_say(struct finding *f, const char *en, const char *zh, ...)
{
	va_list ap;
	va_start(ap, zh);
	f->sentence[0] = text_make(en, ap);
	va_end(ap);
	va_start(ap, zh);
	f->sentence[1] = text_make(zh, ap);
	va_end(ap);
}

void finding_say_in(struct finding *f, size_t lang, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	f->sentence[lang] = text_make(fmt, ap);
	va_end(ap);
}

void finding_evidence(struct finding *f, const char *fmt, ...)
{
	va_list ap;
	if (f->evidence_count == LINT_EVIDENCE_MAX)
		return;
	va_start(ap, fmt);
	f->evidence[f->evidence_count++] = text_make(fmt, ap);
	va_end(ap);
}

void finding_fix(struct finding *f, const struct member *at, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	f->fix_at = at;
	f->fix = text_make(fmt, ap);
	va_end(ap);
}

static char *text_room(void)
{
	static char texts[TEXTS_AT_ONCE][TITLE_MAX_LEN > PREFIX_TEXT_MAX ? TITLE_MAX_LEN : PREFIX_TEXT_MAX];
	static size_t next;
	return texts[next++ % TEXTS_AT_ONCE];
}

const char *lint_name(const struct lint *l, const struct member *m) { return fleet_title(l->fleet, m, text_room()); }
const char *lint_ip(struct ip ip) { return ip_format(ip, text_room()); }
const char *lint_prefix(struct prefix p) { return prefix_format(p, text_room()); }
const char *lint_mac(struct mac m) { return mac_format(m, text_room()); }

/* ---- looking ---- */

static bool speaks(const struct member *m) { return m && m->online && m->snapshot; }

const struct member *lint_next(const struct lint *l, size_t *at)
{
	while (*at < fleet_count(l->fleet)) {
		const struct member *m = fleet_at(l->fleet, (*at)++);
		if (speaks(m))
			return m;
	}
	return NULL;
}

bool lint_next_pair(const struct lint *l, uint32_t *at, struct lint_pair *out)
{
	while (*at < planner_count(l->planner)) {
		const struct pair *p = planner_pair(l->planner, (*at)++);
		const struct member *a = p ? fleet_by_id(l->fleet, p->a) : NULL, *b = p ? fleet_by_id(l->fleet, p->b) : NULL;
		if (!speaks(a) || !speaks(b))
			continue;
		*out = (struct lint_pair){p, {a, b}, {&p->ep_a, &p->ep_b}};
		return true;
	}
	return false;
}

bool lint_conf(const struct snapshot *s, const char *name, const char *ifname, int64_t *out)
{
	char own[96], all[96];
	int64_t a, b;
	snprintf(own, sizeof own, name, ifname);
	snprintf(all, sizeof all, name, "all");
	if (!snapshot_sysctl(s, own, &a) || !snapshot_sysctl(s, all, &b))
		return false;
	*out = a > b ? a : b;
	return true;
}

const struct link *lint_bridge_of(const struct snapshot *s, const struct link *port)
{
	const struct link *l = port->port && port->master ? snapshot_link(s, port->master) : NULL;
	return l && strcmp(l->kind, "bridge") == 0 ? l : NULL;
}

/* ---- ---- */

static int finding_cmp(const void *a, const void *b)
{
	const struct finding *x = a, *y = b;
	if (x->check->severity != y->check->severity)
		return x->check->severity < y->check->severity ? 1 : -1;
	int by_tenant = strcmp(x->who->tenant, y->who->tenant), by_name = strcmp(x->who->name, y->who->name);
	int by_check = strcmp(x->check->id, y->check->id);
	return by_tenant ? by_tenant : by_name ? by_name : by_check ? by_check : strcmp(x->component, y->component);
}

struct lint_result *lint_run(const struct fleet *f, const struct planner *p, struct mono now)
{
	struct lint l = {.fleet = f, .planner = p, .now = now, .result = mem_alloc(sizeof *l.result)};
	struct lint_pair pair;
	size_t at = 0;
	while (lint_next(&l, &at))
		l.result->machines++;
	for (uint32_t number = 0; lint_next_pair(&l, &number, &pair);)
		l.result->pairs++;
	for (size_t i = 0; i < lint_check_count(); i++)
		lint_check_at(i)->run(&l, lint_check_at(i));
	if (l.result->count)
		qsort(l.result->findings, l.result->count, sizeof *l.result->findings, finding_cmp);
	return l.result;
}

void lint_free(struct lint_result *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->count; i++) {
		struct finding *f = &r->findings[i];
		for (size_t k = 0; k < LINT_LANGS; k++)
			free(f->sentence[k]);
		for (size_t k = 0; k < f->evidence_count; k++)
			free(f->evidence[k]);
		free(f->fix);
	}
	free(r->findings);
	free(r);
}
