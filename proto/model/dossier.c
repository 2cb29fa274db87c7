/* dossier: look-ups in what a round gathered. */
#include "proto/model/dossier.h"

#include <stdlib.h>
#include <string.h>

static const struct flow *flow_find(const struct dossier *d, uint8_t id)
{
	for (size_t i = 0; i < d->flow_count; i++) {
		if (d->flows[i].id == id)
			return &d->flows[i];
	}
	return NULL;
}

/* The result of the end that sends (or receives) this flow; NULL = it did not report. */
static const struct round_result *flow_result(const struct dossier *d, uint8_t flow, bool sender)
{
	const struct flow *f = flow_find(d, flow);
	if (!f)
		return NULL;
	bool at_a = (f->dir == 0) == sender;
	return d->party[at_a ? PARTY_A : PARTY_B].result;
}

const struct flow_sent *dossier_sent(const struct dossier *d, uint8_t flow)
{
	const struct round_result *r = flow_result(d, flow, true);
	for (size_t i = 0; r && i < r->sent_count; i++) {
		if (r->sent[i].flow == flow)
			return &r->sent[i];
	}
	return NULL;
}

const struct flow_received *dossier_received(const struct dossier *d, uint8_t flow)
{
	const struct round_result *r = flow_result(d, flow, false);
	for (size_t i = 0; r && i < r->received_count; i++) {
		if (r->received[i].flow == flow)
			return &r->received[i];
	}
	return NULL;
}

static const struct round_result *point_result(const struct dossier *d, uint8_t point)
{
	for (size_t i = 0; i < d->point_count; i++) {
		int party = d->points[i].party;
		if (d->points[i].id == point && party >= 0 && (size_t)party < d->party_count)
			return d->party[party].result;
	}
	return NULL;
}

/* A capture that lost packets itself is no witness of what is missing. */
static bool point_looked(const struct round_result *r, uint8_t point)
{
	for (size_t i = 0; r && i < r->status_count; i++) {
		if (r->status[i].point == point)
			return r->status[i].armed && r->status[i].dropped == 0;
	}
	return false;
}

const struct point_seen *dossier_seen(const struct dossier *d, uint8_t point, uint8_t flow, bool *looked)
{
	const struct round_result *r = point_result(d, point);
	*looked = point_looked(r, point);
	for (size_t i = 0; r && i < r->seen_count; i++) {
		if (r->seen[i].point == point && r->seen[i].flow == flow)
			return &r->seen[i];
	}
	return NULL;
}

const struct flow_times *dossier_times(const struct dossier *d, int party, uint8_t point, uint8_t flow, uint8_t part)
{
	const struct round_result *r = d->party[party].result;
	for (size_t i = 0; r && i < r->times_count; i++)
		if (r->times[i].point == point && r->times[i].flow == flow && r->times[i].part == part)
			return &r->times[i];
	return NULL;
}

int dossier_party(const struct dossier *d, const char *name)
{
	for (size_t i = 0; i < d->party_count; i++) {
		if (strcmp(d->party[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

int dossier_host(const struct dossier *d, int party)
{
	if (party < 0 || (size_t)party >= d->party_count)
		return -1;
	const struct party *p = &d->party[party];
	if (p->kind == AGENT_HOST)
		return party;
	return p->at.known ? p->at.host : -1;
}

int64_t dossier_clock_apart_ms(const struct dossier *d, int party)
{
	const struct snapshot *s = d->party[party].after;
	int64_t ms = s && s->taken.ns && d->now.ns ? (s->taken.ns - d->now.ns) / 1000000 : 0;
	return ms > CLOCK_APART_MS || ms < -CLOCK_APART_MS ? ms : 0;
}

void dossier_clear(struct dossier *d)
{
	for (int k = 0; k < KIND_COUNT; k++) {
		free(d->skip_why[0][k]);
		free(d->skip_why[1][k]);
	}
	memset(d, 0, sizeof *d);
}
