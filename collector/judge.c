#include "collector/judge.h"

#include "collector/correlate.h"
#include "proto/base/mem.h"

static struct verdict *judged(const struct catalogue *c, const struct dossier *d, uint32_t took_ms, struct wall at, bool why)
{
	struct verdict *v = verdict_new();
	v->wants_why = why;
	correlate(d, v);
	diagnose(c, d, v);
	str_copy(v->tenant_a, sizeof v->tenant_a, d->party[PARTY_A].tenant);
	str_copy(v->tenant_b, sizeof v->tenant_b, d->party[PARTY_B].tenant);
	v->service_port = d->service_port;
	v->took_ms = took_ms;
	v->at = at;
	return v;
}

struct verdict *judge(const struct catalogue *c, const struct dossier *d, uint32_t took_ms, struct wall at)
{
	return judged(c, d, took_ms, at, false);
}

struct verdict *judge_why(const struct catalogue *c, const struct dossier *d, uint32_t took_ms, struct wall at)
{
	return judged(c, d, took_ms, at, true);
}
