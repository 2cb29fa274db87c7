#include "agent/ovs_flow.h"

#include "proto/base/mem.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_LEN 512

/* ---- a packet as a flow ---- */

struct writer {
	char *out;
	size_t len;
};

static void put(struct writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct writer *w, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(w->out + w->len, OVS_FLOW_MAX - w->len, fmt, args);
	va_end(args);
	if (n > 0 && w->len + (size_t)n < OVS_FLOW_MAX)
		w->len += (size_t)n;
}

/* An answer goes the other way. */
static struct ip from_of(const struct ovs_packet *p) { return p->part == PART_ANSWER ? p->flow->dst : p->flow->src; }
static struct ip to_of(const struct ovs_packet *p) { return p->part == PART_ANSWER ? p->flow->src : p->flow->dst; }

static void put_arp(struct writer *w, const struct ovs_packet *p)
{
	char src[IP_TEXT_MAX], dst[IP_TEXT_MAX], mac[MAC_TEXT_MAX];
	struct ip from = from_of(p), to = to_of(p);

	put(w, ",arp,arp_op=%d", p->part == PART_ANSWER ? 2 : 1);
	if (from.family)
		put(w, ",arp_spa=%s", ip_format(from, src));
	if (to.family)
		put(w, ",arp_tpa=%s", ip_format(to, dst));
	put(w, ",arp_sha=%s", mac_format(p->src, mac));
	if (p->part == PART_ANSWER)
		put(w, ",arp_tha=%s", mac_format(p->dst, mac));
}

/* RFC 4861 section 4.3: a solicitation goes to the solicited-node address of its target; hop limit 255. */
static void put_nd(struct writer *w, const struct ovs_packet *p)
{
	static const uint8_t group[13] = {0xff, 0x02, [11] = 0x01, [12] = 0xff};
	bool answer = p->part == PART_ANSWER;
	struct ip to = to_of(p);
	char src[IP_TEXT_MAX], dst[IP_TEXT_MAX], target[IP_TEXT_MAX];

	if (!answer && p->dst.b[0] & 1)
		memcpy(to.b, group, sizeof group);
	put(w, ",icmp6,ipv6_src=%s,ipv6_dst=%s,nw_ttl=255,icmpv6_type=%d,icmpv6_code=0,nd_target=%s",
	    from_of(p).family ? ip_format(from_of(p), src) : "::", ip_format(to, dst), answer ? 136 : 135,
	    ip_format(p->flow->dst, target));
}

static void put_ports(struct writer *w, const struct ovs_packet *p, const char *proto)
{
	unsigned own = (uint16_t)(p->flow->id_base + p->seq), far = p->flow->dport;
	bool answer = p->part == PART_ANSWER;

	put(w, ",%s_src=%u,%s_dst=%u", proto, answer ? far : own, proto, answer ? own : far);
	if (strcmp(proto, "tcp") == 0)
		put(w, ",tcp_flags=%s", answer ? "syn|ack" : "syn");
}

static void put_icmp(struct writer *w, const struct ovs_packet *p, bool v6)
{
	bool answer = p->part == PART_ANSWER;

	if (v6)
		put(w, ",icmpv6_type=%d,icmpv6_code=0", answer ? 129 : 128);
	else
		put(w, ",icmp_type=%d,icmp_code=0", answer ? 0 : 8);
}

static void put_transport(struct writer *w, const struct ovs_packet *p, const struct kind_info *k)
{
	static const char *const names[] = {[PROTO_ICMP] = "icmp", [PROTO_UDP] = "udp", [PROTO_TCP] = "tcp"};
	bool v6 = k->family == 6;
	char src[IP_TEXT_MAX], dst[IP_TEXT_MAX];

	put(w, ",%s%s,%s=%s,%s=%s,nw_ttl=64", names[k->proto], v6 ? "6" : "", v6 ? "ipv6_src" : "nw_src",
	    ip_format(from_of(p), src), v6 ? "ipv6_dst" : "nw_dst", ip_format(to_of(p), dst));
	if (k->proto == PROTO_ICMP)
		put_icmp(w, p, v6);
	else
		put_ports(w, p, names[k->proto]);
}

void ovs_flow_format(const struct ovs_packet *p, char out[static OVS_FLOW_MAX])
{
	const struct kind_info *k = kind_info(p->flow->kind);
	struct writer w = {.out = out};
	char src[MAC_TEXT_MAX], dst[MAC_TEXT_MAX];

	out[0] = '\0';
	put(&w, "in_port=%u,dl_src=%s,dl_dst=%s", p->in_port, mac_format(p->src, src), mac_format(p->dst, dst));
	if (p->vlan)
		put(&w, ",dl_vlan=%u", p->vlan);
	if (k->proto == PROTO_NEIGH && k->family == 4)
		put_arp(&w, p);
	else if (k->proto == PROTO_NEIGH)
		put_nd(&w, p);
	else
		put_transport(&w, p, k);
}

/* ---- the fate of a packet ---- */

struct tracing {
	struct ovs_fate *fate;
	struct ovs_fate entry; /* the one that is being read */
	bool in_entry, ended;  /* ... it ends the packet's way in so many words */
	unsigned actions;      /* of it, so far */
	bool ended_any;
	bool after_ct;           /* "drop" below a ct action: of the packet it was, a copy goes on */
	unsigned blocks, forked; /* packets that came out of the pipeline, packets that went in again */
	bool leaves;
};

static bool starts(const char *line, const char *with) { return strncmp(line, with, strlen(with)) == 0; }

/* The last entry that ends the way in so many words is it; without one, the last that was reached. */
static void entry_close(struct tracing *t)
{
	if (t->in_entry && (t->ended || !t->ended_any)) {
		struct ovs_fate *f = t->fate;

		str_copy(f->bridge, sizeof f->bridge, t->entry.bridge);
		str_copy(f->text, sizeof f->text, t->entry.text);
		f->table = t->entry.table;
		t->ended_any |= t->ended;
	}
	t->in_entry = t->ended = t->after_ct = false;
}

static void text_add(struct ovs_fate *f, const char *between, const char *text, size_t len)
{
	size_t used = strlen(f->text);

	if (used + 1 < sizeof f->text)
		snprintf(f->text + used, sizeof f->text - used, "%s%.*s", used ? between : "", (int)len, text);
}

static bool bridge_line(struct tracing *t, const char *line)
{
	size_t len;

	if (!starts(line, "bridge(\""))
		return false;
	entry_close(t);
	line += strlen("bridge(\"");
	len = strcspn(line, "\"");
	snprintf(t->entry.bridge, sizeof t->entry.bridge, "%.*s", (int)len, line);
	return true;
}

/* " 0. icmp, priority 10": an entry of table 0; deeper resubmits are indented deeper. */
static bool entry_line(struct tracing *t, const char *line)
{
	const char *at = line + strspn(line, " ");
	size_t digits = strspn(at, "0123456789");

	if (at == line || digits == 0 || digits > 3 || !starts(at + digits, ". "))
		return false;
	entry_close(t);
	t->in_entry = true;
	t->actions = 0;
	t->entry.table = (unsigned)strtoul(at, NULL, 10);
	t->entry.text[0] = '\0';
	at += digits + 2;
	t->ended = starts(at, "No match");
	at = t->ended ? "no flow entry matches" : at;
	text_add(&t->entry, "", at, strlen(at));
	return true;
}

/* An action of the entry; behind an arrow, what came of it: "-> ..." to explain, ">> ..." to warn. */
static void action_line(struct tracing *t, const char *line)
{
	const char *at = line + strspn(line, " ");
	bool remark = *at == '>' || starts(at, "->"), warns = *at == '>';
	size_t len;

	at += remark ? strspn(at, ">- ") : 0;
	for (len = strcspn(at, "<"); len > 0 && at[len - 1] == ' ';)
		len--;
	if (remark) {
		t->ended |= strstr(at, "dropping") != NULL;
		if (warns || strstr(at, "dropping"))
			text_add(&t->entry, " - ", at, len);
		return;
	}
	if (strcmp(at, "drop") == 0 && t->after_ct)
		return;
	t->ended |= strcmp(at, "drop") == 0;
	t->after_ct = starts(at, "ct(") || starts(at, "ct_clear");
	text_add(&t->entry, t->actions++ ? "; " : ": ", at, len);
}

/* Actions of the datapath that let nothing out. Whatever is not known here might. */
static bool action_keeps(const char *a, size_t len)
{
	static const char *const keeping[] = {"drop",       "recirc(",    "ct(",         "ct_clear", "set(",
	                                      "push_vlan(", "pop_vlan",   "set_masked(", "hash(",    "push_eth(",
	                                      "pop_eth",    "push_mpls(", "pop_mpls("};

	for (size_t i = 0; i < sizeof keeping / sizeof *keeping; i++) {
		size_t n = strlen(keeping[i]);

		if (len >= n && strncmp(a, keeping[i], n) == 0 && (keeping[i][n - 1] == '(' || len == n))
			return true;
	}
	return false;
}

/* Up to the comma on the outermost level. */
static size_t action_length(const char *a)
{
	size_t i = 0;

	for (int depth = 0; a[i] && (a[i] != ',' || depth > 0); i++)
		depth += (a[i] == '(') - (a[i] == ')');
	return i;
}

static bool actions_line(struct tracing *t, const char *line)
{
	if (!starts(line, "Datapath actions: "))
		return false;
	entry_close(t);
	line += strlen("Datapath actions: ");
	t->blocks++;
	while (*line) {
		size_t len = action_length(line);

		t->forked += starts(line, "recirc(");
		t->leaves |= !action_keeps(line, len);
		line += len + (line[len] == ',');
	}
	return true;
}

static void line_read(struct tracing *t, const char *line)
{
	if (bridge_line(t, line) || actions_line(t, line) || entry_line(t, line))
		return;
	if (starts(line, "Megaflow: ") && (strstr(line, "tp_src=") || strstr(line, "tp_dst=")))
		t->fate->by_ports = true;
	if (t->in_entry && line[0] == ' ')
		action_line(t, line);
	else if (line[0] != ' ')
		entry_close(t);
}

void ovs_fate_read(const char *trace, struct ovs_fate *out)
{
	struct tracing t = {.fate = out};

	*out = (struct ovs_fate){0};
	while (*trace) {
		char line[LINE_MAX_LEN];
		size_t len = strcspn(trace, "\n");

		/* a longer one is cut: of the actions, the rest is then not known */
		snprintf(line, sizeof line, "%.*s", (int)(len < LINE_MAX_LEN ? len : LINE_MAX_LEN - 1), trace);
		t.leaves |= len >= LINE_MAX_LEN && starts(line, "Datapath actions: ");
		line_read(&t, line);
		trace += len + (trace[len] == '\n');
	}
	entry_close(&t);
	out->dropped = t.blocks > 0 && t.blocks == t.forked + 1 && !t.leaves && out->bridge[0];
}
