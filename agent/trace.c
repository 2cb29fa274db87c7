#include "agent/trace.h"
#include "agent/trace_event.h"
#include "agent/trace_rules.h"
#include "proto/base/mem.h"
#include "proto/model/snapshot.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_BYTES (2 << 20) /* a packet may meet many chains */
#define ANSWER_BYTES  65536
#define MARKS_MAX     (ROUND_FLOWS_MAX * 2)
#define FAMILIES      3
#define VERDICTS_MAX  32
#define DUMP_TRIES    5
#define QUIET_MS      100 /* the kernel answers while it is being asked */

/* One of our rules: whoever meets it is a packet of that flow. */
struct mark {
	uint8_t family, flow, part;
	uint64_t handle;
};

/* What one of the others' rules does with a packet that it ends. */
struct verdict {
	uint64_t handle;
	uint8_t family, verdict;
	char table[64];
};

struct trace {
	const struct round_spec *spec;
	struct mnl_socket *control, *events; /* the tables belong to `control` */
	char table[64];
	bool made[FAMILIES];
	bool owned;
	uint32_t seq, lost;
	size_t mark_count;
	struct mark marks[MARKS_MAX * FAMILIES];
	uint8_t nameless[ROUND_FLOWS_MAX][2]; /* packets that did not say which one they are */
	size_t verdict_count;
	struct verdict verdicts[VERDICTS_MAX];
	struct trace_packets packets;
};

/* Which table of ours sees what: one is needed where another family's chains could drop something. */
static const struct {
	uint8_t family;
	uint8_t watched[3];
	const char *name;
} families[FAMILIES] = {
    {NFPROTO_INET, {NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6}, "inet"},
    {NFPROTO_BRIDGE, {NFPROTO_BRIDGE}, "bridge"},
    {NFPROTO_ARP, {NFPROTO_ARP}, "arp"},
};

/* ---- talking to the kernel ---- */

static struct mnl_socket *socket_open(struct err *e)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	const struct timeval quiet = {.tv_usec = QUIET_MS * 1000};

	if (s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) == 0) {
		setsockopt(mnl_socket_get_fd(s), SOL_SOCKET, SO_RCVTIMEO, &quiet, sizeof quiet);
		return s;
	}
	err_sys(e, "nfnetlink");
	if (s)
		mnl_socket_close(s);
	return NULL;
}

/* The kernel has worked off the whole batch, and put every answer into our queue, when the sending returns. */
static int answers_check(struct mnl_socket *s, uint32_t seq)
{
	char *buf = mem_alloc(ANSWER_BYTES);
	int error = 0;
	ssize_t len;

	while ((len = recv(mnl_socket_get_fd(s), buf, ANSWER_BYTES, MSG_DONTWAIT)) > 0)
		if (mnl_cb_run(buf, (size_t)len, seq, mnl_socket_get_portid(s), NULL, NULL) < 0 && !error)
			error = errno;
	free(buf);
	errno = error;
	return error ? -1 : 0;
}

static int batch_send(struct mnl_socket *s, struct trace_batch *b)
{
	trace_batch_end(b);
	if (b->full) {
		errno = E2BIG;
		return -1;
	}
	if (mnl_socket_sendto(s, mnl_nlmsg_batch_head(b->batch), mnl_nlmsg_batch_size(b->batch)) < 0)
		return -1;
	return answers_check(s, b->seq);
}

static struct nlmsghdr *request(char *buf, uint16_t message, uint16_t flags, uint8_t family)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof *g);

	h->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | message);
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	g->nfgen_family = family;
	g->version = NFNETLINK_V0;
	return h;
}

static int dump_once(struct mnl_socket *s, uint16_t message, uint8_t family, const char *table, mnl_cb_t fn, void *arg)
{
	char *buf = mem_alloc(ANSWER_BYTES);
	struct nlmsghdr *h = request(buf, message, NLM_F_DUMP, family);
	int again = MNL_CB_OK, error;
	ssize_t len;

	if (table)
		mnl_attr_put_strz(h, NFTA_RULE_TABLE, table);
	if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		again = MNL_CB_ERROR;
	while (again > MNL_CB_STOP && (len = mnl_socket_recvfrom(s, buf, ANSWER_BYTES)) > 0)
		again = mnl_cb_run(buf, (size_t)len, 0, mnl_socket_get_portid(s), fn, arg);
	error = errno;
	free(buf);
	errno = error;
	return again == MNL_CB_STOP ? 0 : -1;
}

/* A dump during which somebody changed the ruleset begins anew; `fn` bears seeing things twice. */
static int dump(struct mnl_socket *s, uint16_t message, uint8_t family, const char *table, mnl_cb_t fn, void *arg)
{
	for (int i = 0; i < DUMP_TRIES; i++) {
		char rest[256];

		if (dump_once(s, message, family, table, fn, arg) == 0)
			return 0;
		if (errno != EINTR)
			return -1;
		while (recv(mnl_socket_get_fd(s), rest, sizeof rest, MSG_DONTWAIT | MSG_TRUNC) > 0)
			;
	}
	return -1;
}

/* ---- attributes of what a dump says ---- */

struct wanted_attrs {
	const struct nlattr **at;
	uint16_t max;
};

static int attr_keep(const struct nlattr *a, void *arg)
{
	struct wanted_attrs *t = arg;

	if (mnl_attr_get_type(a) <= t->max)
		t->at[mnl_attr_get_type(a)] = a;
	return MNL_CB_OK;
}

static void attrs_read(const struct nlmsghdr *h, const struct nlattr **at, uint16_t max)
{
	mnl_attr_parse(h, sizeof(struct nfgenmsg), attr_keep, &(struct wanted_attrs){at, max});
}

static bool is_ours(const struct nlattr *table)
{
	return table && strncmp(mnl_attr_get_str(table), TRACE_TABLE_PREFIX, strlen(TRACE_TABLE_PREFIX)) == 0;
}

/* ---- is there anything to look at? ---- */

static int chain_seen(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *at[NFTA_CHAIN_MAX + 1] = {NULL};
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(h);
	bool *needed = arg;

	attrs_read(h, at, NFTA_CHAIN_MAX);
	if (!at[NFTA_CHAIN_HOOK] || is_ours(at[NFTA_CHAIN_TABLE]))
		return MNL_CB_OK;
	for (size_t i = 0; i < FAMILIES; i++)
		for (size_t k = 0; k < 3; k++)
			needed[i] = needed[i] || families[i].watched[k] == g->nfgen_family;
	return MNL_CB_OK;
}

static bool file_has_anything(const char *path)
{
	FILE *f = fopen(path, "re");
	bool any = f && fgetc(f) != EOF;

	if (f)
		fclose(f);
	return any;
}

/* Where the old iptables is in use the kernel would log each marked packet, which people would wonder about. */
static bool would_be_logged(void)
{
	return file_has_anything("/proc/thread-self/net/ip_tables_names") ||
	       file_has_anything("/proc/thread-self/net/ip6_tables_names");
}

/* ---- the tables ---- */

static int table_put(struct trace *t, size_t i, bool owned)
{
	struct trace_batch b;
	int result;

	trace_batch_begin(&b, ++t->seq);
	trace_put_table(&b, families[i].family, t->table, owned, t->spec);
	result = batch_send(t->control, &b);
	trace_batch_free(&b);
	return result;
}

static int mark_seen(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *at[NFTA_RULE_MAX + 1] = {NULL};
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(h);
	struct trace *t = arg;
	struct mark m = {.family = g->nfgen_family};

	attrs_read(h, at, NFTA_RULE_MAX);
	if (!at[NFTA_RULE_HANDLE] || !at[NFTA_RULE_USERDATA] || !at[NFTA_RULE_TABLE] ||
	    strcmp(mnl_attr_get_str(at[NFTA_RULE_TABLE]), t->table) != 0 || t->mark_count == sizeof t->marks / sizeof *t->marks)
		return MNL_CB_OK;
	if (trace_mark_read(mnl_attr_get_payload(at[NFTA_RULE_USERDATA]), mnl_attr_get_payload_len(at[NFTA_RULE_USERDATA]), &m.flow,
	                    &m.part) < 0)
		return MNL_CB_OK;
	m.handle = be64toh(mnl_attr_get_u64(at[NFTA_RULE_HANDLE]));
	t->marks[t->mark_count++] = m;
	return MNL_CB_OK;
}

static int tables_make(struct trace *t, const bool *needed, struct err *e)
{
	t->owned = true;
	for (size_t i = 0; i < FAMILIES; i++) {
		if (!needed[i])
			continue;
		if (table_put(t, i, t->owned)) {
			if (errno != EOPNOTSUPP && errno != EINVAL)
				return err_sys(e, "table %s %s", families[i].name, t->table);
			t->owned = false;
			if (table_put(t, i, false))
				return err_sys(e, "table %s %s", families[i].name, t->table);
		}
		t->made[i] = true;
		if (dump(t->control, NFT_MSG_GETRULE, families[i].family, t->table, mark_seen, t))
			return err_sys(e, "reading table %s", t->table);
	}
	return 0;
}

static int table_delete(struct mnl_socket *s, uint8_t family, const char *table)
{
	struct trace_batch b;
	int result;

	trace_batch_begin(&b, 1);
	trace_put_delete(&b, family, table);
	result = batch_send(s, &b);
	trace_batch_free(&b);
	return result;
}

/* ---- life ---- */

static int events_open(struct trace *t, struct err *e)
{
	const int bytes = RECEIVE_BYTES, group = NFNLGRP_NFTRACE;

	t->events = socket_open(e);
	if (!t->events)
		return -1;
	setsockopt(mnl_socket_get_fd(t->events), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
	if (mnl_socket_setsockopt(t->events, NETLINK_ADD_MEMBERSHIP, (void *)&group, sizeof group) < 0)
		return err_sys(e, "nftables tracing");
	return 0;
}

/* A kernel without nftables has no rule that could drop anything. */
static bool is_absent(int error) { return error == EPROTONOSUPPORT || error == EOPNOTSUPP || error == EINVAL; }

static int trace_open(struct trace *t, struct err *e)
{
	bool needed[FAMILIES] = {false};

	if (would_be_logged())
		return err_set(e, "the old iptables is in use, whose kernel side would log every traced packet");
	t->control = socket_open(e);
	if (!t->control)
		return is_absent(errno) ? 0 : -1;
	if (dump(t->control, NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, NULL, chain_seen, needed))
		return is_absent(errno) ? 0 : err_sys(e, "reading the chains");
	if (!needed[0] && !needed[1] && !needed[2])
		return 0;
	return events_open(t, e) < 0 ? -1 : tables_make(t, needed, e);
}

struct trace *trace_new(const struct round_spec *spec, struct err *e)
{
	static unsigned count;
	struct trace *t = mem_alloc(sizeof *t);

	t->spec = spec;
	snprintf(t->table, sizeof t->table, TRACE_TABLE_PREFIX "%d-%u", (int)getpid(), ++count);
	if (trace_open(t, e) == 0)
		return t;
	trace_free(t);
	return NULL;
}

void trace_free(struct trace *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < FAMILIES; i++)
		if (t->made[i])
			table_delete(t->control, families[i].family, t->table);
	if (t->events)
		mnl_socket_close(t->events);
	if (t->control)
		mnl_socket_close(t->control);
	free(t);
}

int trace_fd(const struct trace *t) { return t->events ? mnl_socket_get_fd(t->events) : -1; }

uint32_t trace_lost(const struct trace *t) { return t->lost; }

/* ---- what a rule does ---- */

static int expression_seen(const struct nlattr *element, void *arg)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, element)
	{
		const char *name = mnl_attr_get_payload(a);
		size_t len = mnl_attr_get_payload_len(a);

		if (mnl_attr_get_type(a) == NFTA_EXPR_NAME && strnlen(name, len) < len && strcmp(name, "reject") == 0)
			*(bool *)arg = true;
		if (mnl_attr_get_type(a) == NFTA_EXPR_DATA) /* of iptables: the name of its target stands within */
			*(bool *)arg = *(bool *)arg || memmem(name, len, "REJECT", 7);
	}
	return MNL_CB_OK;
}

static int rule_seen(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *at[NFTA_RULE_MAX + 1] = {NULL};

	attrs_read(h, at, NFTA_RULE_MAX);
	if (at[NFTA_RULE_EXPRESSIONS])
		mnl_attr_parse_nested(at[NFTA_RULE_EXPRESSIONS], expression_seen, arg);
	return MNL_CB_STOP;
}

/* To the tracing a rejected packet is a dropped one: the rule itself tells. */
static bool rule_rejects(struct trace *t, uint8_t family, const struct flow_rule *rule)
{
	char *buf = mem_alloc(ANSWER_BYTES);
	struct nlmsghdr *h = request(buf, NFT_MSG_GETRULE, 0, family);
	bool rejects = false;
	ssize_t len;

	mnl_attr_put_strz(h, NFTA_RULE_TABLE, rule->table);
	mnl_attr_put_strz(h, NFTA_RULE_CHAIN, rule->chain);
	mnl_attr_put_u64(h, NFTA_RULE_HANDLE, htobe64(rule->handle));
	if (mnl_socket_sendto(t->control, h, h->nlmsg_len) > 0 && (len = mnl_socket_recvfrom(t->control, buf, ANSWER_BYTES)) > 0)
		mnl_cb_run(buf, (size_t)len, 0, mnl_socket_get_portid(t->control), rule_seen, &rejects);
	free(buf);
	return rejects;
}

/* Asked once for each rule: packets of a round meet the same few again and again. */
static uint8_t rule_verdict(struct trace *t, uint8_t family, const struct flow_rule *rule)
{
	struct verdict *v = NULL;

	if (rule->handle == 0)
		return FW_DROP;
	for (size_t i = 0; i < t->verdict_count && !v; i++)
		if (t->verdicts[i].handle == rule->handle && t->verdicts[i].family == family &&
		    strcmp(t->verdicts[i].table, rule->table) == 0)
			v = &t->verdicts[i];
	if (!v) {
		v = &t->verdicts[t->verdict_count < VERDICTS_MAX ? t->verdict_count++ : VERDICTS_MAX - 1];
		v->handle = rule->handle;
		v->family = family;
		str_copy(v->table, sizeof v->table, rule->table);
		v->verdict = rule_rejects(t, family, rule) ? FW_REJECT : FW_DROP;
	}
	return v->verdict;
}

/* ---- events ---- */

static const struct mark *mark_find(const struct trace *t, const char *family, uint64_t handle)
{
	for (size_t i = 0; i < t->mark_count; i++)
		for (size_t k = 0; k < FAMILIES; k++)
			if (t->marks[i].handle == handle && t->marks[i].family == families[k].family &&
			    strcmp(families[k].name, family) == 0)
				return &t->marks[i];
	return NULL;
}

/* By its ports or echo number: the headers the kernel shows are cut short, so there is no probe header to go by. */
static bool seq_said(const struct packet *p, const struct flow *f, uint8_t part, uint8_t *seq)
{
	enum proto proto = kind_info(f->kind)->proto;
	uint16_t number = proto == PROTO_ICMP ? p->icmp_seq : (uint16_t)((part == PART_PROBE ? p->sport : p->dport) - f->id_base);

	*seq = (uint8_t)number;
	return proto != PROTO_NEIGH && number < f->count;
}

/* ARP and ND do not say which one it is; a packet seen before in another hook keeps its number. */
static uint8_t seq_of(struct trace *t, const struct trace_event *ev, const struct mark *m)
{
	const struct trace_packet *known = trace_packets_find(&t->packets, ev->id);
	const struct round_spec *spec = t->spec;
	uint8_t seq, *next = &t->nameless[m->flow][m->part];

	if (ev->has_packet && seq_said(&ev->packet, &spec->flows[m->flow], m->part, &seq))
		return seq;
	if (known && known->flow == m->flow && known->part == m->part)
		return known->seq;
	seq = *next;
	if (*next + 1 < spec->flows[m->flow].count)
		(*next)++;
	return seq;
}

static void event_mark(struct trace *t, const struct trace_event *ev)
{
	const struct mark *m = mark_find(t, ev->family, ev->handle);

	if (m && m->flow < t->spec->flow_count && m->part <= PART_ANSWER)
		trace_packets_add(&t->packets, ev->id, m->flow, seq_of(t, ev, m), m->part);
}

struct reading {
	struct trace *t;
	trace_fn *fn;
	void *arg;
};

static void event_dropped(struct reading *r, uint8_t family, const struct trace_event *ev)
{
	const struct trace_packet *p = trace_packets_find(&r->t->packets, ev->id);
	struct flow_rule rule = {.handle = ev->handle};

	if (!p)
		return;
	rule.flow = p->flow;
	rule.part = p->part;
	rule.seqs = (seqset)1 << (p->seq % FLOW_PROBES_MAX);
	str_copy(rule.family, sizeof rule.family, ev->family);
	str_copy(rule.table, sizeof rule.table, ev->table);
	str_copy(rule.chain, sizeof rule.chain, ev->chain);
	rule.verdict = rule_verdict(r->t, family, &rule);
	r->fn(r->arg, &rule);
}

static int on_message(const struct nlmsghdr *h, void *arg)
{
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(h);
	struct reading *r = arg;
	struct trace_event ev;

	if (h->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_TRACE) || mnl_nlmsg_get_payload_len(h) < sizeof *g)
		return MNL_CB_OK;
	if (trace_event_parse(g->nfgen_family, g + 1, mnl_nlmsg_get_payload_len(h) - sizeof *g, &ev))
		return MNL_CB_OK;
	if (strcmp(ev.table, r->t->table) == 0)
		event_mark(r->t, &ev);
	else if (ev.dropped)
		event_dropped(r, g->nfgen_family, &ev);
	return MNL_CB_OK;
}

void trace_read(struct trace *t, trace_fn *fn, void *arg)
{
	static char buf[ANSWER_BYTES];

	while (t->events) {
		ssize_t len = recv(mnl_socket_get_fd(t->events), buf, sizeof buf, MSG_DONTWAIT);

		if (len < 0 && errno == ENOBUFS)
			t->lost++;
		else if (len < 0 && errno != EINTR)
			return;
		else if (len > 0)
			mnl_cb_run(buf, (size_t)len, 0, 0, on_message, &(struct reading){t, fn, arg});
	}
}

/* ---- what others left ---- */

#define STALE_MAX 64

struct stale {
	struct mnl_socket *s;
	size_t count;
	struct {
		uint8_t family;
		char table[64];
	} tables[STALE_MAX];
};

static int table_seen(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *at[NFTA_TABLE_MAX + 1] = {NULL};
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(h);
	struct stale *k = arg;
	int pid, end = 0;

	attrs_read(h, at, NFTA_TABLE_MAX);
	if (!is_ours(at[NFTA_TABLE_NAME]) || k->count == STALE_MAX)
		return MNL_CB_OK;
	if (sscanf(mnl_attr_get_str(at[NFTA_TABLE_NAME]), TRACE_TABLE_PREFIX "%d-%*u%n", &pid, &end) != 1 || end == 0)
		return MNL_CB_OK;
	if (pid <= 0 || kill(pid, 0) == 0 || errno != ESRCH)
		return MNL_CB_OK;
	k->tables[k->count].family = g->nfgen_family;
	str_copy(k->tables[k->count++].table, sizeof k->tables->table, mnl_attr_get_str(at[NFTA_TABLE_NAME]));
	return MNL_CB_OK;
}

void trace_sweep(void)
{
	struct stale k = {.s = socket_open(NULL)};

	if (!k.s)
		return;
	if (dump(k.s, NFT_MSG_GETTABLE, NFPROTO_UNSPEC, NULL, table_seen, &k) == 0)
		for (size_t i = 0; i < k.count; i++)
			table_delete(k.s, k.tables[i].family, k.tables[i].table);
	mnl_socket_close(k.s);
}
