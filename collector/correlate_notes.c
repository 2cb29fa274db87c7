/* correlate_notes: what could not be measured, and why; for people. */
#include "collector/correlate_parts.h"
#include "collector/names.h"

#include "proto/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEAL_TOLD 100 /* permille */

static void note_add(struct verdict *v, char *text)
{
	for (size_t i = 0; i < v->note_count; i++) {
		if (strcmp(v->notes[i], text) == 0) {
			free(text);
			return;
		}
	}
	v->notes = mem_resize(v->notes, v->note_count + 1, sizeof *v->notes);
	v->notes[v->note_count++] = text;
}

static void note_party(struct verdict *v, const struct party *p)
{
	if (!p->result)
		note_add(v, mem_printf("%s: its agent %s", p->name,
		                       !p->online ? p->lately ? "was heard a few seconds ago, and is not now: stopped, or too slow"
		                                              : "is not connected"
		                       : p->heard ? "is heard, but was too slow to take part in this round"
		                                  : "did not report on this round"));
}

/* What it is blind to is not lost. */
static void note_rights(struct verdict *v, const struct party *p)
{
	if (p->result && p->rights && !(p->rights & RIGHT_RAW))
		note_add(v, mem_printf(
		                "%s: its agent may not open raw sockets (CAP_NET_RAW): of ARP, neighbour discovery and captures it "
		                "sees nothing, and what it does not see is not called loss",
		                p->name));
}

static void note_placement(struct verdict *v, const struct party *p)
{
	if (p->kind == AGENT_GUEST && !p->at.known)
		note_add(v, mem_printf("%s: no host agent knows the port it is plugged into", p->name));
}

static void note_point(struct correlation *c, size_t i)
{
	const struct party *p = &c->d->party[c->d->points[i].party];
	for (size_t k = 0; p->result && k < p->result->status_count; k++) {
		const struct point_status *s = &p->result->status[k];
		const char *ifname = c->d->points[i].ifname;
		if (s->point != c->d->points[i].id)
			continue;
		if (!s->armed)
			note_add(c->v,
			         mem_printf("%s:%s could not be watched: %s", p->name, ifname, s->why[0] ? s->why : "not armed"));
		else if (s->dropped)
			note_add(c->v, mem_printf("%s:%s lost %u packets of its own: what it missed proves nothing", p->name,
			                          ifname, s->dropped));
	}
}

static bool anything_missing(const struct correlation *c)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct view *w = &c->views[i];
		bool unknown = w->delivery == CELL_UNKNOWN || w->initiation == CELL_UNKNOWN;
		if (unknown || cell_is_bad(w->delivery) || cell_is_bad(w->initiation))
			return true;
	}
	return false;
}

/* An observer that was not fit is told where something is missing. */
static void note_health(struct correlation *c, const struct party *p)
{
	const struct health *h = p->result ? &p->result->health : NULL;
	char steal[32] = "";
	if (!h || !(anything_missing(c) || c->v->dir[0].quality.measured || c->v->dir[1].quality.measured))
		return;
	if (h->steal_permille > STEAL_TOLD)
		snprintf(steal, sizeof steal, ", %d %% steal", h->steal_permille / 10);
	if (h->lag_us >= LAG_UNFIT_US)
		note_add(c->v, mem_printf("%s was short of CPU while it measured (%u ms late%s): its silence is not called loss",
		                          p->name, h->lag_us / 1000, steal));
	if (h->socket_drops)
		note_add(c->v, mem_printf("%s lost %u packets in its own sockets: its silence is not called loss", p->name,
		                          h->socket_drops));
}

/* Only where it matters: a cut here has no word. */
static void note_drops(struct correlation *c, int party)
{
	const char *drops, *rules, *name = c->d->party[party].name;
	drops_not_known(c, party, &drops, &rules);
	if (drops)
		note_add(c->v, mem_printf("%s: the kernel's drop reasons are not known: %s", name, drops));
	if (rules)
		note_add(c->v, mem_printf("%s: the rule that dropped it was not traced: %s", name, rules));
}

static void note_view(struct correlation *c, const struct view *w)
{
	const char *to = c->d->party[receiver_of(w->flow)].name;
	if (w->received && !w->received->looked && w->received->why[0])
		note_add(c->v, mem_printf("%s could not listen for %s: %s", to, kind_info(w->flow->kind)->name, w->received->why));
}

static void note_name(struct correlation *c, int end)
{
	struct name_found found;
	char ip[IP_TEXT_MAX];
	if (name_leads(c->d, end, &found) == NAME_OUTSIDE)
		note_add(c->v, mem_printf("%s takes the name %s for %s, which is none of the addresses of %s: one that a router "
		                          "publishes for it, or a wrong one; only its own addresses were measured",
		                          c->d->party[end].name, found.name, ip_format(found.ip, ip), c->d->party[1 - end].name));
}

/* Nothing that is measured goes by it. */
static void note_clock(struct correlation *c, int party)
{
	int64_t s = dossier_clock_apart_ms(c->d, party) / 1000;
	if (s)
		note_add(c->v,
		         mem_printf("the clock of %s is %lld s %s the collector's: times that it tells are misleading, what was "
		                    "measured is not",
		                    c->d->party[party].name, (long long)(s < 0 ? -s : s), s < 0 ? "behind" : "ahead of"));
}

/* Its kernel says that it kept ICMP errors back while the round ran. */
static bool errors_were_limited(const struct party *p)
{
	static const char *const names[] = {"Icmp.OutRateLimitHost", "Icmp.OutRateLimitGlobal", "Icmp6.OutRateLimitHost"};
	for (size_t i = 0; p->before && p->after && i < sizeof names / sizeof *names; i++) {
		int64_t was, now;
		if (snapshot_counter(p->before, names[i], &was) && snapshot_counter(p->after, names[i], &now) && now > was)
			return true;
	}
	return false;
}

/* Refused at times and met by silence at others: the refusal is the same (RFC 1812 section 4.3.2.8). */
static void note_limit(struct correlation *c, const struct view *w)
{
	const struct party *by = &c->d->party[receiver_of(w->flow)];
	const struct flow_sent *s = w->sent;
	bool own = s && by->after && s->icmp_from.family && snapshot_addr_of(by->after, s->icmp_from);
	if (own && s->refused && errors_were_limited(by))
		note_add(
		    c->v,
		    mem_printf("%s refuses more than it says: its kernel limits the rate of ICMP errors (net.ipv4.icmp_ratelimit), "
		               "and what met silence was refused as well",
		               by->name));
}

void notes_fill(struct correlation *c)
{
	note_name(c, PARTY_A);
	note_name(c, PARTY_B);
	for (size_t i = 0; i < c->d->party_count; i++) {
		note_party(c->v, &c->d->party[i]);
		note_rights(c->v, &c->d->party[i]);
		note_clock(c, (int)i);
		note_placement(c->v, &c->d->party[i]);
		note_drops(c, (int)i);
		note_health(c, &c->d->party[i]);
	}
	for (size_t i = 0; i < c->d->point_count; i++)
		note_point(c, i);
	for (size_t i = 0; i < c->count; i++) {
		note_view(c, &c->views[i]);
		note_limit(c, &c->views[i]);
	}
}
