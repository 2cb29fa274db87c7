/* evidence: the statements a catalogue may use, by name, and what their answers are made with. */
#include "collector/diagnose/inquiry.h"

#include "proto/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct evidence_table *const tables[] = {
    &evidence_place,  &evidence_filter,  &evidence_drops,  &evidence_address, &evidence_neigh, &evidence_link,    &evidence_vlan,
    &evidence_agent,  &evidence_route,   &evidence_tunnel, &evidence_l2,      &evidence_spoof, &evidence_twins,   &evidence_attack,
    &evidence_config, &evidence_policy,  &evidence_nat,    &evidence_told,    &evidence_mtu,   &evidence_service, &evidence_quality,
    &evidence_vport,  &evidence_vswitch, &evidence_swport, &evidence_flux};

const struct evidence *evidence_find(const char *name)
{
	for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
		for (size_t i = 0; i < tables[t]->count; i++) {
			if (strcmp(tables[t]->items[i].name, name) == 0)
				return &tables[t]->items[i];
		}
	}
	return NULL;
}

const char *evidence_doc(const char *name)
{
	const struct evidence *e = evidence_find(name);
	return e ? e->doc : NULL;
}

const char *evidence_reads(const char *name)
{
	const struct evidence *e = evidence_find(name);
	return e ? e->reads : NULL;
}

static void find(struct finding *f, enum tri is, kind_mask kinds, const char *fmt, va_list ap)
{
	f->is = is;
	f->kinds = kinds;
	vsnprintf(f->text, sizeof f->text, fmt, ap);
}

void find_yes(struct finding *f, kind_mask kinds, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	find(f, kinds ? TRI_YES : TRI_NO, kinds, fmt, ap);
	va_end(ap);
	if (!kinds)
		f->text[0] = '\0';
}

void find_no(struct finding *f, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	find(f, TRI_NO, 0, fmt, ap);
	va_end(ap);
}

void find_unknown(struct finding *f, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	find(f, TRI_UNKNOWN, 0, fmt, ap);
	va_end(ap);
}

/* ---- bindings ---- */

const char *bindings_get(const struct bindings *b, const char *key)
{
	for (size_t i = 0; i < b->count; i++) {
		if (strcmp(b->items[i].key, key) == 0)
			return b->items[i].value;
	}
	return NULL;
}

static bool bindings_have(const struct bindings *b, const char *key, const char *value)
{
	for (size_t i = 0; i < b->count; i++) {
		if (strcmp(b->items[i].key, key) == 0 && strcmp(b->items[i].value, value) == 0)
			return true;
	}
	return false;
}

void bindings_add(struct bindings *b, const char *key, const char *fmt, ...)
{
	char value[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(value, sizeof value, fmt, ap);
	va_end(ap);
	if (bindings_have(b, key, value))
		return;
	struct binding *n = VEC_ADD(b->items, b->count, b->cap);
	n->key = mem_strdup(key);
	n->value = mem_strdup(value);
}

void bindings_free(struct bindings *b)
{
	for (size_t i = 0; i < b->count; i++) {
		free(b->items[i].key);
		free(b->items[i].value);
	}
	free(b->items);
	memset(b, 0, sizeof *b);
}
