/* fix: commands that clear the fault, with this case's names: templates filled from what the evidence learned. */
#include "collector/diagnose/inquiry.h"

#include "proto/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CHAINS_MAX 16

/* ---- letting packets through a chain ---- */

struct stopped { /* what one chain stops */
	const struct fw_chain *chain;
	const char *hook;
	kind_mask probes, answers;
	int asked; /* ARP: whose address is looked for; -1 = as the packets travel */
};

static const struct fw_chain *hit_chain(const struct hit *h) { return h->decision.chain ? h->decision.chain : h->decision.base; }

static size_t stopped_collect(const struct inquiry *q, const struct hits *hits, unsigned layers, struct stopped out[CHAINS_MAX])
{
	size_t n = 0;
	for (size_t i = 0; i < hits->count; i++) {
		const struct hit *h = &hits->item[i];
		if (h->party != q->who || !(h->sure || h->fits) || !(layers & 1u << h->layer))
			continue;
		size_t at = 0;
		while (at < n && out[at].chain != hit_chain(h))
			at++;
		if (at == CHAINS_MAX)
			break;
		if (at == n)
			out[n++] = (struct stopped){.chain = hit_chain(h), .hook = h->decision.base->hook, .asked = h->asked};
		*(h->answer ? &out[at].answers : &out[at].probes) |= KIND_BIT(h->kind);
	}
	return n;
}

static void accept_add(const struct inquiry *q, const struct fw_chain *c, const char *expr)
{
	bindings_add(q->learned, "accept", "%s %s %s %s accept", c->family, c->table, c->name, expr);
}

static bool hook_is(const struct stopped *s, const char *a, const char *b) { return !strcmp(s->hook, a) || !strcmp(s->hook, b); }

/* Whose address matters: at the receiver the sender's, at the sender the receiver's, in between both. */
static void addresses_text(const struct inquiry *q, const struct stopped *s, int family, char *out, size_t size)
{
	const char *ip = family == 4 ? "ip" : "ip6";
	char src[IP_TEXT_MAX], dst[IP_TEXT_MAX];
	ip_format(party_prefix(q->d, q->src, family).ip, src);
	ip_format(party_prefix(q->d, q->dst, family).ip, dst);
	if (q->who == q->dst && !hook_is(s, "output", "postrouting"))
		snprintf(out, size, "%s saddr %s", ip, src);
	else if (q->who == q->src && hook_is(s, "output", "postrouting"))
		snprintf(out, size, "%s daddr %s", ip, dst);
	else
		snprintf(out, size, "%s saddr %s %s daddr %s", ip, src, ip, dst);
}

static const char *echo_types(bool probes, bool answers)
{
	return probes && answers ? "{ echo-request, echo-reply }" : answers ? "echo-reply" : "echo-request";
}

/* The protocols to let through; "" = all of them. */
static void protocols_text(const struct inquiry *q, const struct stopped *s, int family, char *out, size_t size)
{
	kind_mask f = kinds_of_family(family), probes = s->probes & f, answers = s->answers & f, both = probes | answers;
	kind_mask services = KIND_BIT(KIND_SERVICE) | KIND_BIT(KIND_SERVICE6);
	bool icmp = both & kinds_of_proto(PROTO_ICMP), udp = both & kinds_of_proto(PROTO_UDP),
	     tcp = both & kinds_of_proto(PROTO_TCP);
	out[0] = '\0';
	if (icmp && udp && tcp)
		return;
	if (icmp && !udp && !tcp)
		snprintf(out, size, " %s type %s", family == 4 ? "icmp" : "icmpv6", echo_types(probes, answers));
	else if (tcp && !icmp && !udp && !(both & ~services) && q->v->service_port)
		snprintf(out, size, " tcp %s %u", probes ? "dport" : "sport", q->v->service_port);
	else if (icmp + udp + tcp == 1)
		snprintf(out, size, " meta l4proto %s", udp ? "udp" : "tcp");
	else
		snprintf(out, size, " meta l4proto { %s }",
		         icmp && udp ? (family == 4 ? "icmp, udp" : "icmpv6, udp")
		         : icmp      ? (family == 4 ? "icmp, tcp" : "icmpv6, tcp")
		                     : "udp, tcp");
}

static void accept_ip(const struct inquiry *q, const struct stopped *s, int family)
{
	char addresses[2 * IP_TEXT_MAX + 32], protocols[96], expr[256];
	kind_mask ip = kinds_of_family(family) & ~kinds_of_proto(PROTO_NEIGH);
	if (!((s->probes | s->answers) & ip))
		return;
	addresses_text(q, s, family, addresses, sizeof addresses);
	protocols_text(q, s, family, protocols, sizeof protocols);
	snprintf(expr, sizeof expr, "%s%s", addresses, protocols);
	accept_add(q, s->chain, expr);
}

/* Requests name the one that is looked for as their target, replies as their sender. */
static void accept_neighbours(const struct inquiry *q, const struct stopped *s)
{
	char expr[96], ip[IP_TEXT_MAX];
	int asked = s->asked >= 0 ? s->asked : q->dst, answers = s->asked >= 0 ? s->asked : q->src;
	if (s->probes & KIND_BIT(KIND_ARP)) {
		snprintf(expr, sizeof expr, "arp daddr ip %s", ip_format(party_prefix(q->d, asked, 4).ip, ip));
		accept_add(q, s->chain, expr);
	}
	if (s->answers & KIND_BIT(KIND_ARP)) {
		snprintf(expr, sizeof expr, "arp saddr ip %s", ip_format(party_prefix(q->d, answers, 4).ip, ip));
		accept_add(q, s->chain, expr);
	}
	if ((s->probes | s->answers) & KIND_BIT(KIND_ND))
		accept_add(q, s->chain, "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }");
}

void accepts_bind(const struct inquiry *q, const struct hits *hits, unsigned layers)
{
	struct stopped s[CHAINS_MAX];
	size_t n = stopped_collect(q, hits, layers, s);
	for (size_t i = 0; i < n; i++) {
		accept_ip(q, &s[i], 4);
		accept_ip(q, &s[i], 6);
		accept_neighbours(q, &s[i]);
	}
}

/* ---- templates ---- */

struct slot {
	const char *start;
	size_t len;
	char key[48];
};

/* The next "{name}" of a template; names have letters, digits, dots and dashes: "{ a, b }" is not one. */
static bool slot_next(const char *from, struct slot *s)
{
	for (const char *p = strchr(from, '{'); p; p = strchr(p + 1, '{')) {
		size_t len = strspn(p + 1, "abcdefghijklmnopqrstuvwxyz0123456789.-");
		if (len == 0 || len >= sizeof s->key || p[1 + len] != '}')
			continue;
		s->start = p;
		s->len = len + 2;
		memcpy(s->key, p + 1, len);
		s->key[len] = '\0';
		return true;
	}
	return false;
}

static const char *value_at(const struct bindings *b, const char *key, size_t n)
{
	for (size_t i = 0; i < b->count; i++) {
		if (strcmp(b->items[i].key, key) == 0 && n-- == 0)
			return b->items[i].value;
	}
	return NULL;
}

/* One pass: the nth value of the name that has several, the only value of the others. False: a name is not bound (any more). */
static bool fill_once(const char *template, const struct bindings *b, size_t n, struct buf *out, bool *several)
{
	struct slot s;
	const char *at = template;
	while (slot_next(at, &s)) {
		bool many = value_at(b, s.key, 1) != NULL;
		const char *value = value_at(b, s.key, many ? n : 0);
		if (!value)
			return false;
		*several |= many;
		buf_add(out, at, (size_t)(s.start - at));
		buf_puts(out, value);
		at = s.start + s.len;
	}
	buf_puts(out, at);
	return true;
}

char *template_fill(const char *template, const struct bindings *b)
{
	struct buf all = {0};
	for (size_t n = 0;; n++) {
		struct buf one = {0};
		bool several = false, ok = fill_once(template, b, n, &one, &several);
		if (ok && (n == 0 || several)) {
			buf_puts(&all, n ? " && " : "");
			buf_add(&all, one.data, one.len);
		}
		buf_free(&one);
		if (!ok || !several)
			break;
	}
	char *text = all.len ? mem_strdup(all.data) : NULL;
	buf_free(&all);
	return text;
}

/* ---- fixes ---- */

#define STEP " && "

static const char *step_end(const char *at)
{
	const char *end = strstr(at, STEP);
	return end ? end : at + strlen(at);
}

static const char *step_next(const char *at)
{
	const char *end = step_end(at);
	return *end ? end + strlen(STEP) : NULL;
}

static bool has_step(const char *command, const char *step)
{
	size_t len = (size_t)(step_end(step) - step);
	for (const char *at = command; at; at = step_next(at)) {
		if ((size_t)(step_end(at) - at) == len && memcmp(at, step, len) == 0)
			return true;
	}
	return false;
}

static bool has_steps(const char *command, const char *steps)
{
	for (const char *at = steps; at; at = step_next(at)) {
		if (!has_step(command, at))
			return false;
	}
	return true;
}

/* All that a command does is done there already. */
static bool fix_known(const struct cause *c, const char *where, const char *command)
{
	for (size_t i = 0; i < c->fix_count; i++) {
		if (strcmp(c->fixes[i].where, where) == 0 && has_steps(c->fixes[i].command, command))
			return true;
	}
	return false;
}

/* Commands a machine was told by its operator, not names of things. */
static bool is_command(const char *key) { return strcmp(key, "service.start") == 0 || strcmp(key, "restart") == 0; }

/* What machines call things comes off the wire, and a fix is pasted into a shell: a name that a shell would take for more
 * than a name makes no command. */
static bool names_are_plain(const char *template, const struct bindings *b)
{
	struct slot s;
	for (const char *at = template; slot_next(at, &s); at = s.start + s.len) {
		const char *value;
		for (size_t n = 0; !is_command(s.key) && (value = value_at(b, s.key, n)); n++)
			if (value[strcspn(value, ";&|$`<>()\\\"'\n\r")])
				return false;
	}
	return true;
}

static bool fix_add(const struct candidate *cand, const struct remedy *r, struct cause *out)
{
	const char *where = bindings_get(&cand->learned, r->at);
	bool plain = r->manual || names_are_plain(r->command, &cand->learned);
	char *command = where && plain ? template_fill(r->command, &cand->learned) : NULL;
	if (!command)
		return false;
	if (fix_known(out, where, command)) {
		free(command);
		return true;
	}
	out->fixes = mem_resize(out->fixes, out->fix_count + 1, sizeof *out->fixes);
	out->fixes[out->fix_count++] = (struct fix){.where = mem_strdup(where), .command = command, .manual = r->manual};
	return true;
}

static bool platform_is(const struct snapshot *facts, const char *name) { return facts && strcasestr(facts->platform, name); }

/* Commands in the order of the catalogue; sentences only when no command could be made. */
void fixes_make(const struct candidate *c, const struct snapshot *facts, struct cause *out)
{
	bool made = false;
	for (int manual = 0; manual < 2 && !made; manual++) {
		for (size_t i = 0; i < c->entry->fix_count; i++) {
			const struct remedy *r = &c->entry->fixes[i];
			if (r->manual != manual || (r->platform && !platform_is(facts, r->platform)))
				continue;
			made |= fix_add(c, r, out);
		}
	}
}
