#include "agent/facts/fw_match.h"
#include "proto/base/mem.h"

#include <net/ethernet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- building ---- */

void match_make_unknown(struct fw_match *m)
{
	free(m->values);
	m->values = NULL;
	m->value_count = 0;
	m->field = FW_UNKNOWN;
	m->negate = false;
}

struct fw_match *rule_add_match(struct fw_rule *r, enum fw_field field, bool negate)
{
	struct fw_match *m;

	if (r->match_count == FW_MATCHES_MAX) {
		m = &r->matches[FW_MATCHES_MAX - 1];
		match_make_unknown(m);
		return m;
	}
	r->matches = mem_resize(r->matches, r->match_count + 1u, sizeof *r->matches);
	m = &r->matches[r->match_count++];
	*m = (struct fw_match){.field = (uint8_t)field, .negate = negate};
	return m;
}

struct fw_value *match_add_value(struct fw_match *m)
{
	struct fw_value *v;

	if (m->field == FW_UNKNOWN)
		return NULL;
	if (m->value_count == FW_VALUES_MAX) {
		match_make_unknown(m);
		return NULL;
	}
	m->values = mem_resize(m->values, m->value_count + 1u, sizeof *m->values);
	v = &m->values[m->value_count++];
	memset(v, 0, sizeof *v);
	return v;
}

void rule_add_number(struct fw_rule *r, enum fw_field field, bool negate, uint64_t lo, uint64_t hi)
{
	struct fw_value *v = match_add_value(rule_add_match(r, field, negate));

	if (v) {
		v->lo = lo;
		v->hi = hi;
	}
}

void rule_add_unknown(struct fw_rule *r) { rule_add_match(r, FW_UNKNOWN, false); }

void rule_imply(struct fw_rule *r, enum fw_field field, uint64_t number)
{
	for (size_t i = 0; i < r->match_count; i++) {
		const struct fw_match *m = &r->matches[i];

		if (m->field == field && !m->negate && m->value_count == 1 && m->values[0].lo == number &&
		    m->values[0].hi == number)
			return;
	}
	rule_add_number(r, field, false, number, number);
}

/* ---- names of values ---- */

struct symbol {
	const char *name;
	uint64_t number;
};

static const struct symbol ethertypes[] = {{"ip", ETHERTYPE_IP}, {"arp", ETHERTYPE_ARP}, {"ip6", ETHERTYPE_IPV6},
                                           {"vlan", 0x8100},     {"8021q", 0x8100},      {"8021ad", 0x88a8}};
static const struct symbol nfprotos[] = {{"ipv4", 2}, {"ipv6", 10}};
static const struct symbol l4protos[] = {{"icmp", 1},      {"igmp", 2},  {"tcp", 6},     {"udp", 17},       {"gre", 47},
                                         {"esp", 50},      {"ah", 51},   {"icmpv6", 58}, {"ipv6-icmp", 58}, {"sctp", 132},
                                         {"udplite", 136}, {"dccp", 33}, {"comp", 108}};
static const struct symbol icmp_types[] = {
    {"echo-reply", 0},         {"destination-unreachable", 3}, {"source-quench", 4},        {"redirect", 5},
    {"echo-request", 8},       {"router-advertisement", 9},    {"router-solicitation", 10}, {"time-exceeded", 11},
    {"parameter-problem", 12}, {"timestamp-request", 13},      {"timestamp-reply", 14},     {"info-request", 15},
    {"info-reply", 16},        {"address-mask-request", 17},   {"address-mask-reply", 18}};
static const struct symbol icmp6_types[] = {
    {"destination-unreachable", 1},  {"packet-too-big", 2},         {"time-exceeded", 3},
    {"parameter-problem", 4},        {"echo-request", 128},         {"echo-reply", 129},
    {"mld-listener-query", 130},     {"mld-listener-report", 131},  {"mld-listener-done", 132},
    {"mld-listener-reduction", 132}, {"nd-router-solicit", 133},    {"nd-router-advert", 134},
    {"nd-neighbor-solicit", 135},    {"nd-neighbor-advert", 136},   {"nd-redirect", 137},
    {"router-renumbering", 138},     {"ind-neighbor-solicit", 141}, {"ind-neighbor-advert", 142},
    {"mld2-listener-report", 143}};
static const struct symbol arp_ops[] = {{"request", 1}, {"reply", 2}, {"rrequest", 3}, {"rreply", 4}};
static const struct symbol ct_states[] = {{"invalid", FW_CT_INVALID},
                                          {"new", FW_CT_NEW},
                                          {"established", FW_CT_ESTABLISHED},
                                          {"related", FW_CT_RELATED},
                                          {"untracked", FW_CT_UNTRACKED}};
static const struct symbol tcp_flags[] = {{"fin", 1},  {"syn", 2},  {"rst", 4},  {"psh", 8},
                                          {"ack", 16}, {"urg", 32}, {"ecn", 64}, {"cwr", 128}};
static const struct symbol pkttypes[] = {{"host", 0}, {"unicast", 0}, {"broadcast", 1}, {"multicast", 2}, {"other", 3}};

/* ---- fields ---- */

enum form { FORM_NUMBER, FORM_TEXT, FORM_IP, FORM_MAC, FORM_CT, FORM_FLAGS };

static const struct field {
	const char *type; /* "meta", "ct", or a payload's protocol */
	const char *key;
	enum fw_field field;
	enum form form;
	const struct symbol *symbols;
	size_t symbol_count;
	uint64_t add; /* to numbers: what the field's length leaves out */
} fields[] = {
    {"meta", "iifname", FW_IIF, FORM_TEXT, NULL, 0, 0},
    {"meta", "iif", FW_IIF, FORM_TEXT, NULL, 0, 0},
    {"meta", "oifname", FW_OIF, FORM_TEXT, NULL, 0, 0},
    {"meta", "oif", FW_OIF, FORM_TEXT, NULL, 0, 0},
    {"meta", "ibrname", FW_IN_BRIDGE, FORM_TEXT, NULL, 0, 0},
    {"meta", "obrname", FW_OUT_BRIDGE, FORM_TEXT, NULL, 0, 0},
    {"meta", "ibridgename", FW_IN_BRIDGE, FORM_TEXT, NULL, 0, 0},
    {"meta", "obridgename", FW_OUT_BRIDGE, FORM_TEXT, NULL, 0, 0},
    {"meta", "protocol", FW_ETHERTYPE, FORM_NUMBER, ethertypes, COUNT(ethertypes), 0},
    {"meta", "nfproto", FW_NFPROTO, FORM_NUMBER, nfprotos, COUNT(nfprotos), 0},
    {"meta", "l4proto", FW_L4PROTO, FORM_NUMBER, l4protos, COUNT(l4protos), 0},
    {"meta", "length", FW_PKT_LENGTH, FORM_NUMBER, NULL, 0, 0},
    {"meta", "pkttype", FW_PKTTYPE, FORM_NUMBER, pkttypes, COUNT(pkttypes), 0},
    {"ct", "state", FW_CT_STATE, FORM_CT, ct_states, COUNT(ct_states), 0},
    {"ether", "type", FW_ETHERTYPE, FORM_NUMBER, ethertypes, COUNT(ethertypes), 0},
    {"ether", "saddr", FW_ETH_SADDR, FORM_MAC, NULL, 0, 0},
    {"ether", "daddr", FW_ETH_DADDR, FORM_MAC, NULL, 0, 0},
    {"ip", "saddr", FW_SADDR, FORM_IP, NULL, 0, 0},
    {"ip", "daddr", FW_DADDR, FORM_IP, NULL, 0, 0},
    {"ip", "protocol", FW_L4PROTO, FORM_NUMBER, l4protos, COUNT(l4protos), 0},
    {"ip", "length", FW_PKT_LENGTH, FORM_NUMBER, NULL, 0, 0},
    {"ip", "frag-off", FW_FRAG_OFF, FORM_NUMBER, NULL, 0, 0},
    {"ip6", "saddr", FW_SADDR, FORM_IP, NULL, 0, 0},
    {"ip6", "daddr", FW_DADDR, FORM_IP, NULL, 0, 0},
    {"ip6", "nexthdr", FW_L4PROTO, FORM_NUMBER, l4protos, COUNT(l4protos), 0},
    {"ip6", "length", FW_PKT_LENGTH, FORM_NUMBER, NULL, 0, 40},
    {"tcp", "sport", FW_SPORT, FORM_NUMBER, NULL, 0, 0},
    {"tcp", "dport", FW_DPORT, FORM_NUMBER, NULL, 0, 0},
    {"tcp", "flags", FW_TCP_FLAGS, FORM_FLAGS, tcp_flags, COUNT(tcp_flags), 0},
    {"udp", "sport", FW_SPORT, FORM_NUMBER, NULL, 0, 0},
    {"udp", "dport", FW_DPORT, FORM_NUMBER, NULL, 0, 0},
    {"th", "sport", FW_SPORT, FORM_NUMBER, NULL, 0, 0},
    {"th", "dport", FW_DPORT, FORM_NUMBER, NULL, 0, 0},
    {"icmp", "type", FW_ICMP_TYPE, FORM_NUMBER, icmp_types, COUNT(icmp_types), 0},
    {"icmpv6", "type", FW_ICMP6_TYPE, FORM_NUMBER, icmp6_types, COUNT(icmp6_types), 0},
    {"arp", "operation", FW_ARP_OP, FORM_NUMBER, arp_ops, COUNT(arp_ops), 0},
    {"arp", "saddr ip", FW_ARP_SPA, FORM_IP, NULL, 0, 0},
    {"arp", "daddr ip", FW_ARP_TPA, FORM_IP, NULL, 0, 0},
    {"arp", "saddr ether", FW_ARP_SHA, FORM_MAC, NULL, 0, 0},
};

/* What stands behind the implied header: {"payload": {"protocol": P, ...}} is looked at only where P is. */
static const struct implied {
	const char *protocol;
	uint16_t ethertype; /* 0 = any */
	uint8_t l4proto;    /* 0 = any */
} implied[] = {
    {"ip", ETHERTYPE_IP, 0},
    {"ip6", ETHERTYPE_IPV6, 0},
    {"arp", ETHERTYPE_ARP, 0},
    {"icmp", ETHERTYPE_IP, IPPROTO_ICMP},
    {"icmpv6", ETHERTYPE_IPV6, IPPROTO_ICMPV6},
    {"tcp", 0, IPPROTO_TCP},
    {"udp", 0, IPPROTO_UDP},
    {"sctp", 0, 132},
};

static bool is_one_of(const char *s, const char *a, const char *b) { return strcmp(s, a) == 0 || strcmp(s, b) == 0; }

static void imply_ethertype(struct fw_rule *r, const char *family, uint16_t type)
{
	if (is_one_of(family, "bridge", "netdev"))
		rule_imply(r, FW_ETHERTYPE, type);
	else if (strcmp(family, "inet") == 0 && type != ETHERTYPE_ARP)
		rule_imply(r, FW_NFPROTO, type == ETHERTYPE_IP ? 2 : 10);
}

static void imply_protocol(struct fw_rule *r, const char *family, const char *protocol)
{
	for (size_t i = 0; i < COUNT(implied); i++) {
		if (strcmp(implied[i].protocol, protocol) != 0)
			continue;
		if (implied[i].ethertype)
			imply_ethertype(r, family, implied[i].ethertype);
		if (implied[i].l4proto)
			rule_imply(r, FW_L4PROTO, implied[i].l4proto);
	}
}

static const struct field *field_find(const char *type, const char *key)
{
	for (size_t i = 0; type && key && i < COUNT(fields); i++)
		if (strcmp(fields[i].type, type) == 0 && strcmp(fields[i].key, key) == 0)
			return &fields[i];
	return NULL;
}

static const char *text_of(json_t *o, const char *key) { return json_string_value(json_object_get(o, key)); }

static const struct field *field_of(json_t *left, const char **protocol)
{
	json_t *payload = json_object_get(left, "payload");

	*protocol = NULL;
	if (payload) {
		*protocol = text_of(payload, "protocol");
		return field_find(*protocol, text_of(payload, "field"));
	}
	if (json_object_get(left, "meta"))
		return field_find("meta", text_of(json_object_get(left, "meta"), "key"));
	if (json_object_get(json_object_get(left, "ct"), "dir"))
		return NULL;
	return field_find("ct", text_of(json_object_get(left, "ct"), "key"));
}

/* ---- values ---- */

static bool number_of(const struct field *f, json_t *j, uint64_t *out)
{
	const char *s = json_string_value(j);
	struct protoent *proto;
	char *end;

	if (json_is_integer(j) && json_integer_value(j) >= 0) {
		*out = (uint64_t)json_integer_value(j);
		return true;
	}
	for (size_t i = 0; s && i < f->symbol_count; i++) {
		if (strcmp(s, f->symbols[i].name) == 0) {
			*out = f->symbols[i].number;
			return true;
		}
	}
	if (s && f->field == FW_L4PROTO && (proto = getprotobyname(s))) {
		*out = (uint64_t)proto->p_proto;
		return true;
	}
	*out = s ? strtoull(s, &end, 0) : 0;
	return s && *s && *end == '\0';
}

/* A single symbol, a list, or {"|": [a, b]}. */
static bool bits_of(const struct field *f, json_t *j, uint64_t *out)
{
	json_t *list = json_is_object(j) ? json_object_get(j, "|") : j;
	json_t *item;
	uint64_t bit;
	size_t i;

	*out = 0;
	if (!json_is_array(list))
		return number_of(f, list, out);
	json_array_foreach(list, i, item)
	{
		if (!bits_of(f, item, &bit))
			return false;
		*out |= bit;
	}
	return true;
}

static bool value_ip(struct fw_value *v, json_t *j)
{
	json_t *prefix = json_object_get(j, "prefix"), *range = json_object_get(j, "range");
	const char *s = json_string_value(prefix ? json_object_get(prefix, "addr") : range ? json_array_get(range, 0) : j);
	const char *end = json_string_value(json_array_get(range, 1));

	if (!s || ip_parse(s, &v->prefix.ip) || (range && (!end || ip_parse(end, &v->range_end))))
		return false;
	v->prefix.len = prefix ? (uint8_t)json_integer_value(json_object_get(prefix, "len")) : v->prefix.ip.family == 4 ? 32 : 128;
	return v->prefix.len <= (v->prefix.ip.family == 4 ? 32 : 128);
}

static bool value_number(const struct field *f, struct fw_value *v, json_t *j)
{
	json_t *range = json_object_get(j, "range");

	if (!number_of(f, range ? json_array_get(range, 0) : j, &v->lo) ||
	    (range && !number_of(f, json_array_get(range, 1), &v->hi)))
		return false;
	if (!range)
		v->hi = v->lo;
	v->lo += f->add;
	v->hi += f->add;
	return true;
}

static bool value_fill(const struct field *f, struct fw_value *v, json_t *j)
{
	switch (f->form) {
	case FORM_NUMBER: return value_number(f, v, j);
	case FORM_TEXT: return json_is_string(j) && str_copy(v->text, sizeof v->text, json_string_value(j)) == 0;
	case FORM_IP: return value_ip(v, j);
	case FORM_MAC: return json_is_string(j) && mac_parse(json_string_value(j), &v->mac) == 0;
	case FORM_CT:
		if (!bits_of(f, j, &v->lo))
			return false;
		v->hi = v->lo;
		return true;
	case FORM_FLAGS: /* (flags & hi) == lo */ v->hi = 0xff; return bits_of(f, j, &v->lo);
	}
	return false;
}

static void values_add(const struct field *f, struct fw_match *m, json_t *right)
{
	json_t *set = json_object_get(right, "set"), *item;
	json_t *items = json_is_array(set) ? set : json_is_array(right) ? right : NULL;
	struct fw_value *v;
	size_t i;

	if (items) {
		json_array_foreach(items, i, item) values_add(f, m, fw_elem_value(item));
		return;
	}
	v = match_add_value(m);
	if (v && !value_fill(f, v, right))
		match_make_unknown(m);
}

json_t *fw_elem_value(json_t *elem)
{
	json_t *inner = json_object_get(elem, "elem");

	if (!inner)
		return elem;
	return json_object_get(inner, "val") ? json_object_get(inner, "val") : inner;
}

/* ---- operators ---- */

/* "<" and the like become a range; false: not such an operator. */
static bool add_ordered(struct fw_rule *r, const struct field *f, const char *op, json_t *right)
{
	uint64_t n;

	if (op[0] != '<' && op[0] != '>')
		return false;
	if (f->form != FORM_NUMBER || !number_of(f, right, &n) || (n == 0 && strcmp(op, "<") == 0)) {
		rule_add_unknown(r);
		return true;
	}
	n += f->add;
	if (op[0] == '<')
		rule_add_number(r, f->field, false, 0, op[1] ? n : n - 1);
	else
		rule_add_number(r, f->field, false, op[1] ? n : n + 1, UINT64_MAX);
	return true;
}

/* `tcp flags syn,ack`: any of these bits. */
static void add_any_flag(struct fw_rule *r, const struct field *f, bool negate, json_t *right)
{
	struct fw_match *m;
	uint64_t bits;

	if (!bits_of(f, right, &bits)) {
		rule_add_unknown(r);
		return;
	}
	m = rule_add_match(r, FW_TCP_FLAGS, negate);
	for (uint64_t bit = 1; bit < 256; bit <<= 1) {
		struct fw_value *v = bits & bit ? match_add_value(m) : NULL;

		if (v)
			v->lo = v->hi = bit;
	}
}

/* left is {"&": [field, mask]} */
static void add_masked(struct fw_rule *r, const char *family, const char *op, json_t *and, json_t *right)
{
	const char *protocol, *mac = json_string_value(json_array_get(and, 1));
	const struct field *f = field_of(json_array_get(and, 0), &protocol);
	bool negate = strcmp(op, "!=") == 0;
	uint64_t mask = 0, want = 0;
	bool numbers = f && bits_of(f, json_array_get(and, 1), &mask) && bits_of(f, right, &want);

	if (f && protocol)
		imply_protocol(r, family, protocol);
	if (f && f->field == FW_TCP_FLAGS && numbers)
		rule_add_number(r, FW_TCP_FLAGS, negate, want, mask);
	else if (f && f->field == FW_FRAG_OFF && numbers && mask == 0x1fff)
		rule_add_number(r, FW_FRAG_OFF, negate, want, want);
	else if (f && f->field == FW_ETH_DADDR && mac && strcmp(mac, "01:00:00:00:00:00") == 0 && json_string_value(right) &&
	         strcmp(json_string_value(right), mac) == 0)
		rule_add_number(r, FW_PKTTYPE, negate, 1, 2);
	else
		rule_add_unknown(r);
}

static void add_plain(struct fw_rule *r, const struct field *f, const char *op, json_t *right)
{
	bool negate = is_one_of(op, "!=", "!");
	bool in = is_one_of(op, "in", "!");
	struct fw_match *m;

	if (add_ordered(r, f, op, right))
		return;
	if (f->form == FORM_FLAGS && in) {
		add_any_flag(r, f, negate, right);
		return;
	}
	m = rule_add_match(r, f->field, negate);
	/* a comparison with several states at once is true of none: no rule means that, so do not pretend to know */
	if (f->form == FORM_CT && !in && json_is_object(right) && json_object_get(right, "|"))
		match_make_unknown(m);
	values_add(f, m, right);
}

/* Header fields that have one value on any Ethernet; arptables-nft asks for them in every rule. */
static bool is_always(const char *protocol, json_t *left, const char *op, json_t *right)
{
	static const struct {
		const char *field;
		int value;
	} always[] = {{"htype", 1}, {"ptype", 0x0800}, {"hlen", 6}, {"plen", 4}};
	const char *field = text_of(json_object_get(left, "payload"), "field");

	if (!protocol || strcmp(protocol, "arp") != 0 || strcmp(op, "==") != 0)
		return false;
	for (size_t i = 0; field && i < COUNT(always); i++)
		if (strcmp(field, always[i].field) == 0)
			return json_integer_value(right) == always[i].value;
	return false;
}

/* `ct status dnat` and snat: true of rewritten packets only, and probes are not. */
static bool is_rewritten(json_t *left, json_t *right)
{
	static const struct symbol status[] = {{"snat", 1}, {"dnat", 2}};
	static const struct field f = {"ct", "status", FW_CT_STATE, FORM_CT, status, COUNT(status), 0};
	const char *key = text_of(json_object_get(left, "ct"), "key");
	uint64_t bits;

	return key && strcmp(key, "status") == 0 && bits_of(&f, right, &bits);
}

static bool is_random(json_t *left)
{
	const char *meta = text_of(json_object_get(left, "meta"), "key");

	return json_object_get(left, "numgen") || (meta && strcmp(meta, "random") == 0);
}

void fw_match_add(struct fw_rule *r, const char *family, const char *op, json_t *left, json_t *right, fw_set_fn *sets, void *arg)
{
	const char *name = json_string_value(right), *protocol;
	json_t *and = json_object_get(left, "&");
	const struct field *f = field_of(left, &protocol);

	if (is_random(left) || (and&&is_random(json_array_get(and, 0)))) {
		rule_add_match(r, FW_RANDOM, false);
		return;
	}
	if (is_rewritten(left, right)) {
		rule_add_number(r, FW_CT_STATE, is_one_of(op, "!=", "!"), 0, 0);
		return;
	}
	if (and) {
		add_masked(r, family, op, and, right);
		return;
	}
	if (protocol)
		imply_protocol(r, family, protocol);
	if (is_always(protocol, left, op, right))
		return;
	if (name && name[0] == '@')
		right = sets(arg, name + 1);
	if (f && right)
		add_plain(r, f, op, right);
	else
		rule_add_unknown(r);
}
