/* Limits at their boundaries, malformed input, and peers one version older or newer. The bytes of other builds are
 * written here by hand, since our own encoder never makes them. */
#include "proto/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Numbers of the .proto file: they may never change. */
enum { BODY_JOIN = 1, BODY_HELLO = 2, BODY_REPORT = 3, BODY_ARMED = 4, BODY_DONE = 5, BODY_RESULT = 6, BODY_RELAY = 7 };
enum { BODY_JOINED = 9, BODY_REFUSED = 10, BODY_WELCOME = 11, BODY_PLAN = 12, BODY_ARM = 14, BODY_GO = 15 };
enum { BODY_QUERY = 18, BODY_ANSWER = 19, BODY_PING = 20 };

/* ---- a protobuf writer of a few lines ---- */

static void varint(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7) {
		uint8_t byte = (uint8_t)(v | 0x80);
		buf_add(b, &byte, 1);
	}
	uint8_t last = (uint8_t)v;
	buf_add(b, &last, 1);
}

static void put_num(struct buf *b, unsigned field, uint64_t v)
{
	varint(b, field << 3);
	varint(b, v);
}

static void put_bytes(struct buf *b, unsigned field, const void *data, size_t len)
{
	varint(b, field << 3 | 2);
	varint(b, len);
	buf_add(b, data, len);
}

static void put_text(struct buf *b, unsigned field, const char *text) { put_bytes(b, field, text, strlen(text)); }

/* Appends `inner` as a submessage and empties it. */
static void put_sub(struct buf *b, unsigned field, struct buf *inner)
{
	put_bytes(b, field, inner->data ? inner->data : "", inner->len);
	buf_free(inner);
	memset(inner, 0, sizeof *inner);
}

static void put_column(struct buf *b, unsigned field, size_t count, uint64_t v)
{
	struct buf column = {0};
	for (size_t i = 0; i < count; i++)
		varint(&column, v);
	put_sub(b, field, &column);
}

static struct err why;

/* Wraps `inner` (consumed) into an envelope and decodes it. */
static struct msg *decode(unsigned body, struct buf *inner)
{
	struct buf env = {0};
	put_sub(&env, body, inner);
	why.text[0] = '\0';
	struct msg *m = wire_decode(env.data, env.len, &why);
	buf_free(&env);
	return m;
}

static void assert_refused(unsigned body, struct buf *inner, const char *reason)
{
	struct msg *m = decode(body, inner);
	assert_null(m);
	if (!strstr(why.text, reason))
		fail_msg("refused with \"%s\", not \"%s\"", why.text, reason);
}

static struct msg *assert_taken(unsigned body, struct buf *inner, enum msg_type type)
{
	struct msg *m = decode(body, inner);
	if (!m)
		fail_msg("refused: %s", why.text);
	assert_int_equal(m->type, type);
	return m;
}

static void assert_fine(unsigned body, struct buf *inner, enum msg_type type) { msg_free(assert_taken(body, inner, type)); }

static const uint8_t key[KEY_LEN] = {1, 2, 3};

/* ---- text ---- */

static void join_with_name(struct buf *b, const void *name, size_t len)
{
	put_bytes(b, 3, key, sizeof key);
	put_bytes(b, 4, name, len);
}

static void a_name_is_clean_and_bounded(void **state)
{
	static const struct {
		const char *name;
		size_t len;
		const char *refused; /* NULL = fine */
	} rows[] = {
	    {"vm1", 3, NULL},
	    {"", 0, NULL},
	    {"vm\0x", 4, "not clean"},
	    {"vm\n", 3, "not clean"},
	    {"vm\x1b[0m", 6, "not clean"},
	    {"vm\x7f", 3, "not clean"},
	    {"\xc2\x9b", 2, "not clean"},     /* C1 control */
	    {"\xc0\xaf", 2, "not clean"},     /* overlong */
	    {"\xed\xa0\x80", 3, "not clean"}, /* surrogate */
	    {"\xf4\x90\x80\x80", 4, "not clean"},
	    {"\xe2\x86", 2, "not clean"}, /* cut off */
	    {"\xff", 1, "not clean"},
	    {"\xe2\x86\x92", 3, NULL},
	};
	struct buf b = {0};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		join_with_name(&b, rows[i].name, rows[i].len);
		if (rows[i].refused)
			assert_refused(BODY_JOIN, &b, rows[i].refused);
		else
			assert_fine(BODY_JOIN, &b, MSG_JOIN);
	}
}

static void a_name_fills_its_field_and_no_more(void **state)
{
	char longest[NAME_MAX_LEN];
	struct buf b = {0};
	(void)state;
	memset(longest, 'n', sizeof longest);
	join_with_name(&b, longest, NAME_MAX_LEN - 1);
	struct msg *m = assert_taken(BODY_JOIN, &b, MSG_JOIN);
	assert_int_equal(strlen(m->u.join.name), NAME_MAX_LEN - 1);
	msg_free(m);
	join_with_name(&b, longest, NAME_MAX_LEN);
	assert_refused(BODY_JOIN, &b, "too long");
}

static void a_reason_is_cut_and_cleaned(void **state)
{
	char text[REASON_MAX_LEN + 40];
	struct buf b = {0};
	(void)state;
	memset(text, 'r', sizeof text);
	memcpy(text, "a\nb\x1b", 4);
	memcpy(text + REASON_MAX_LEN - 3, "\xe2\x86\x92", 3); /* would end one byte too late: no half characters */
	put_bytes(&b, 1, text, sizeof text);
	struct msg *m = assert_taken(BODY_REFUSED, &b, MSG_REFUSED);
	assert_memory_equal(m->u.refused.reason, "a?b?", 4);
	assert_int_equal(strlen(m->u.refused.reason), REASON_MAX_LEN - 3);
	msg_free(m);
	put_bytes(&b, 1, "a\0b", 3);
	assert_refused(BODY_REFUSED, &b, "NUL");
}

static void an_answer_is_text(void **state)
{
	struct buf b = {0};
	(void)state;
	put_text(&b, 4, "{\n\t\"a\": 1\r\n}");
	assert_fine(BODY_ANSWER, &b, MSG_ANSWER);
	put_bytes(&b, 4, "{\0}", 3);
	assert_refused(BODY_ANSWER, &b, "not clean");
	put_text(&b, 4, "\x1b]0;title\x07");
	assert_refused(BODY_ANSWER, &b, "not clean");
	struct msg *m = assert_taken(BODY_ANSWER, &b, MSG_ANSWER); /* empty */
	assert_string_equal(m->u.answer.json, "");
	msg_free(m);
}

/* ---- numbers, keys, addresses ---- */

static void numbers_out_of_range_are_refused(void **state)
{
	struct buf b = {0};
	(void)state;
	put_num(&b, 2, STAGE_COUNT - 1);
	assert_fine(BODY_GO, &b, MSG_ROUND_GO);
	put_num(&b, 2, STAGE_COUNT);
	assert_refused(BODY_GO, &b, "stage is out of range");
	put_num(&b, 6, UINT16_MAX);
	assert_fine(BODY_HELLO, &b, MSG_HELLO);
	put_num(&b, 6, UINT16_MAX + 1);
	assert_refused(BODY_HELLO, &b, "probe_port is out of range");
	put_num(&b, 3, 2);
	assert_refused(BODY_JOINED, &b, "kind is out of range");
}

static void a_key_has_its_length(void **state)
{
	uint8_t longer[KEY_LEN + 1] = {0};
	struct buf b = {0};
	(void)state;
	put_bytes(&b, 3, longer, KEY_LEN - 1);
	assert_refused(BODY_JOIN, &b, "agent_key has a wrong length");
	put_bytes(&b, 3, longer, KEY_LEN + 1);
	assert_refused(BODY_JOIN, &b, "agent_key has a wrong length");
	assert_refused(BODY_JOIN, &b, "agent_key has a wrong length"); /* absent */
}

/* One flow of a round, with `set` applied to it. */
static void round_with(struct buf *b, size_t flows, void (*set)(struct buf *flow, size_t i))
{
	struct buf flow = {0};
	put_bytes(b, 3, key, PAIR_KEY_LEN);
	for (size_t i = 0; i < flows; i++) {
		if (set)
			set(&flow, i);
		put_sub(b, 7, &flow);
	}
}

static void set_ids(struct buf *f, size_t i) { put_num(f, 1, i); }
static void set_kind_beyond(struct buf *f, size_t i) { put_num(f, 2, KIND_COUNT + i); }
static void set_dir_beyond(struct buf *f, size_t i) { put_num(f, 3, 2 + i); }
static void set_count_beyond(struct buf *f, size_t i) { put_num(f, 5, FLOW_PROBES_MAX + 1 + i); }
static void set_long_ladder(struct buf *f, size_t i)
{
	put_num(f, 5, LADDER_COUNT + 1 + i);
	put_num(f, 8, 1);
}
static void set_ports(struct buf *f, size_t i)
{
	put_num(f, 2, KIND_UDP);
	put_num(f, 5, 16 + i);
	put_num(f, 9, 65520);
}
static void set_ports_beyond(struct buf *f, size_t i) { set_ports(f, i + 1); }
static void set_wrong_family(struct buf *f, size_t i)
{
	put_num(f, 2, KIND_UDP6);
	put_bytes(f, 12, "\x0a\0\0\1", 4 + 0 * i);
}
static void set_bad_ip(struct buf *f, size_t i) { put_bytes(f, 11, key, 5 + i); }
static void set_bad_mac(struct buf *f, size_t i) { put_bytes(f, 13, key, 7 + i); }
static void set_long_ifname(struct buf *f, size_t i) { put_bytes(f, 15, "0123456789abcdef", 16 + 0 * i); }

static void a_round_is_bounded(void **state)
{
	struct buf b = {0};
	(void)state;
	round_with(&b, ROUND_FLOWS_MAX, set_ids);
	assert_fine(BODY_ARM, &b, MSG_ROUND_ARM);
	round_with(&b, ROUND_FLOWS_MAX + 1, NULL);
	assert_refused(BODY_ARM, &b, "flows has too many");
	round_with(&b, 2, NULL);
	assert_refused(BODY_ARM, &b, "same id");
	round_with(&b, 1, set_ports);
	assert_fine(BODY_ARM, &b, MSG_ROUND_ARM);
	static const struct {
		void (*set)(struct buf *, size_t);
		const char *reason;
	} bad[] = {
	    {set_kind_beyond, "kind is out of range"},
	    {set_dir_beyond, "dir is out of range"},
	    {set_count_beyond, "count is out of range"},
	    {set_long_ladder, "ladder"},
	    {set_ports_beyond, "source ports"},
	    {set_wrong_family, "family"},
	    {set_bad_ip, "src is not an IP"},
	    {set_bad_mac, "dst_mac is not a MAC"},
	    {set_long_ifname, "ifname is too long"},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		round_with(&b, 1, bad[i].set);
		assert_refused(BODY_ARM, &b, bad[i].reason);
	}
}

static void a_prefix_is_of_its_family_and_length(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool fine;
	} rows[] = {
	    {"\x0a\0\0\1\x18", 5, true}, {"\x0a\0\0\1\x20", 5, true},         {"\x0a\0\0\1\x21", 5, false},
	    {"\x0a\0\0\1", 4, false},    {"0123456789abcdef\x40", 17, false}, {"x", 1, false},
	};
	struct buf b = {0}, peer = {0}, endpoint = {0};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		put_bytes(&endpoint, 3, rows[i].bytes, rows[i].len); /* ip4 */
		put_bytes(&peer, 3, key, PAIR_KEY_LEN);
		put_sub(&peer, 4, &endpoint);
		put_sub(&b, 4, &peer);
		if (rows[i].fine)
			assert_fine(BODY_PLAN, &b, MSG_PLAN);
		else
			assert_refused(BODY_PLAN, &b, "prefix");
	}
}

/* ---- lists ---- */

static void rows_are_bounded_and_rectangular(void **state)
{
	struct buf b = {0}, rows = {0};
	(void)state;
	put_column(&rows, 1, REPORT_ROWS_MAX, 7);
	put_column(&rows, 15, REPORT_ROWS_MAX, UINT64_MAX);
	put_sub(&b, 4, &rows);
	struct msg *m = assert_taken(BODY_REPORT, &b, MSG_REPORT);
	assert_int_equal(m->u.report.row_count, REPORT_ROWS_MAX);
	assert_true(m->u.report.rows[REPORT_ROWS_MAX - 1].seen == UINT64_MAX);
	msg_free(m);
	put_column(&rows, 1, REPORT_ROWS_MAX + 1, 7);
	put_sub(&b, 4, &rows);
	assert_refused(BODY_REPORT, &b, "too many");
	put_column(&rows, 1, 3, 7);
	put_column(&rows, 6, 2, 1);
	put_sub(&b, 4, &rows);
	assert_refused(BODY_REPORT, &b, "column sent has 2 values for 3 rows");
	put_column(&rows, 6, 2, 1);
	put_sub(&b, 4, &rows);
	assert_refused(BODY_REPORT, &b, "column sent has 2 values for 0 rows");
	put_column(&rows, 1, 2, 1);
	put_column(&rows, 6, 2, FLOW_PROBES_MAX + 1);
	put_sub(&b, 4, &rows);
	assert_refused(BODY_REPORT, &b, "column sent is out of range");
}

static void plans_and_results_are_bounded(void **state)
{
	struct buf b = {0}, item = {0};
	(void)state;
	for (size_t i = 0; i <= PLAN_PEERS_MAX; i++) {
		put_bytes(&item, 3, key, PAIR_KEY_LEN);
		put_sub(&b, 4, &item);
	}
	assert_refused(BODY_PLAN, &b, "peers has too many");
	for (size_t i = 0; i <= ROUND_FLOWS_MAX; i++)
		put_sub(&b, 2, &item);
	assert_refused(BODY_RESULT, &b, "sent has too many");
	for (size_t i = 0; i <= ROUND_POINTS_MAX; i++)
		put_sub(&b, 2, &item);
	assert_refused(BODY_ARMED, &b, "status has too many");
	put_num(&item, 1, ROUND_FLOWS_MAX);
	put_sub(&b, 2, &item);
	assert_refused(BODY_RESULT, &b, "flow is out of range");
	put_bytes(&item, 18, key, 6 * (FLOW_MACS_MAX + 1));
	put_sub(&b, 2, &item);
	assert_refused(BODY_RESULT, &b, "macs has a wrong length");
}

static void queries_and_relayed_frames_are_bounded(void **state)
{
	static uint8_t frame[RELAY_BYTES_MAX + 1];
	struct buf b = {0};
	(void)state;
	for (int i = 0; i < QUERY_ARGS_MAX; i++)
		put_text(&b, 2, "x");
	assert_fine(BODY_QUERY, &b, MSG_QUERY);
	for (int i = 0; i <= QUERY_ARGS_MAX; i++)
		put_text(&b, 2, "x");
	assert_refused(BODY_QUERY, &b, "args has too many");
	put_bytes(&b, 2, frame, RELAY_BYTES_MAX);
	assert_fine(BODY_RELAY, &b, MSG_RELAY_UP);
	put_bytes(&b, 2, frame, RELAY_BYTES_MAX + 1);
	assert_refused(BODY_RELAY, &b, "data is too long");

	struct msg *m = msg_new(MSG_RELAY_UP);
	m->u.relay.data = mem_alloc(RELAY_BYTES_MAX + 1);
	m->u.relay.len = RELAY_BYTES_MAX + 1;
	assert_int_equal(wire_encode(m, &b, &why), -1);
	assert_int_equal(b.len, 0);
	msg_free(m);
}

/* ---- snapshots: left out and counted, never refused for one entry ---- */

static struct msg *report_with(struct buf *snapshot)
{
	struct buf b = {0};
	put_sub(&b, 5, snapshot);
	return assert_taken(BODY_REPORT, &b, MSG_REPORT);
}

static void bad_entries_of_a_snapshot_are_left_out(void **state)
{
	struct buf s = {0}, item = {0};
	(void)state;
	put_num(&item, 1, 1);
	put_text(&item, 2, "eth0");
	put_sub(&s, 6, &item); /* a good link */
	put_num(&item, 1, 2);
	put_text(&item, 2, "an-interface-name-too-long");
	put_sub(&s, 6, &item);
	put_num(&item, 1, 3);
	put_bytes(&item, 4, key, 3); /* no MAC */
	put_sub(&s, 6, &item);
	put_sub(&s, 8, &item); /* a route to nowhere */
	put_num(&s, 16, 5);    /* the sender left five out */
	struct msg *m = report_with(&s);
	assert_int_equal(m->u.report.snapshot->link_count, 1);
	assert_string_equal(m->u.report.snapshot->links[0].name, "eth0");
	assert_int_equal(m->u.report.snapshot->route_count, 0);
	assert_int_equal(m->u.report.snapshot->truncated, 5 + 3);
	msg_free(m);
}

static void too_many_entries_are_left_out(void **state)
{
	struct buf s = {0}, item = {0};
	(void)state;
	for (int i = 0; i < SNAP_RULES_MAX + 3; i++) {
		put_num(&item, 2, (uint64_t)i);
		put_sub(&s, 9, &item);
	}
	struct msg *m = report_with(&s);
	assert_int_equal(m->u.report.snapshot->rule_count, SNAP_RULES_MAX);
	assert_int_equal(m->u.report.snapshot->truncated, 3);
	msg_free(m);
}

/* One chain with `rules` rules, the last of which has `matches` matches of `values` values each. */
static void put_chain(struct buf *s, size_t rules, size_t matches, size_t values)
{
	struct buf chain = {0}, rule = {0}, match = {0}, value = {0};
	put_text(&chain, 3, "input");
	for (size_t i = 0; i < rules; i++) {
		for (size_t k = 0; i + 1 == rules && k < matches; k++) {
			for (size_t v = 0; v < values; v++) {
				put_num(&value, 1, v + 1);
				put_num(&value, 2, v + 1);
				put_sub(&match, 3, &value);
			}
			put_sub(&rule, 6, &match);
		}
		put_num(&rule, 2, FW_DROP);
		put_sub(&chain, 10, &rule);
	}
	put_sub(s, 15, &chain);
}

static void assert_firewall(size_t rules, size_t matches, size_t values, size_t kept, int known)
{
	struct buf s = {0};
	put_num(&s, 5, FW_READ);
	put_chain(&s, rules, matches, values);
	struct msg *m = report_with(&s);
	assert_int_equal(m->u.report.snapshot->chain_count, 1);
	assert_int_equal(m->u.report.snapshot->chains[0].rule_count, kept);
	assert_int_equal(m->u.report.snapshot->firewall_known, known);
	assert_int_equal(m->u.report.snapshot->truncated, rules - kept);
	msg_free(m);
}

static void a_rule_is_kept_whole_or_not_at_all(void **state)
{
	(void)state;
	assert_firewall(2, FW_MATCHES_MAX, FW_VALUES_MAX, 2, FW_READ);
	assert_firewall(2, FW_MATCHES_MAX + 1, 1, 1, FW_TRUNCATED);
	assert_firewall(2, 1, FW_VALUES_MAX + 1, 1, FW_TRUNCATED);
	assert_firewall(FW_RULES_MAX, 0, 0, FW_RULES_MAX, FW_READ);
	assert_firewall(FW_RULES_MAX + 1, 0, 0, FW_RULES_MAX, FW_TRUNCATED);
}

static void rules_and_values_are_bounded_over_all_chains(void **state)
{
	struct buf s = {0};
	size_t rules = 0;
	(void)state;
	put_num(&s, 5, FW_READ);
	for (int i = 0; i < 3; i++)
		put_chain(&s, FW_RULES_MAX / 2, 0, 0);
	struct msg *m = report_with(&s);
	for (size_t i = 0; i < m->u.report.snapshot->chain_count; i++)
		rules += m->u.report.snapshot->chains[i].rule_count;
	assert_int_equal(rules, FW_RULES_MAX);
	assert_int_equal(m->u.report.snapshot->firewall_known, FW_TRUNCATED);
	msg_free(m);

	for (int i = 0; i < FW_VALUES_ALL_MAX / (FW_MATCHES_MAX * FW_VALUES_MAX) + 1; i++)
		put_chain(&s, 1, FW_MATCHES_MAX, FW_VALUES_MAX);
	m = report_with(&s);
	assert_int_equal(m->u.report.snapshot->truncated, 1);
	msg_free(m);
}

static void an_oversize_snapshot_is_cut_to_fit(void **state)
{
	struct buf b = {0};
	struct msg *m = msg_new(MSG_REPORT);
	struct snapshot *s = m->u.report.snapshot = snapshot_new();
	(void)state;
	s->link_count = 3;
	s->links = mem_array(s->link_count, sizeof *s->links);
	s->chain_count = 2;
	s->chains = mem_array(s->chain_count, sizeof *s->chains);
	s->chains[0].rule_count = 8000; /* beyond FW_RULES_MAX, and more than a message holds */
	s->chains[0].rules = mem_array(s->chains[0].rule_count, sizeof *s->chains[0].rules);
	for (size_t i = 0; i < s->chains[0].rule_count; i++)
		memset(s->chains[0].rules[i].text, 'x', sizeof s->chains[0].rules[i].text - 1);
	s->firewall_known = FW_READ;
	s->neigh_count = 4000;
	s->neighs = mem_array(s->neigh_count, sizeof *s->neighs);

	assert_int_equal(wire_encode_within(m, 60000, &b, &why), 0);
	assert_in_range(b.len, 20000, 60000);
	struct msg *back = wire_decode(b.data, b.len, &why);
	assert_non_null(back);
	struct snapshot *t = back->u.report.snapshot;
	size_t kept = t->link_count + t->chain_count + t->chains[0].rule_count + t->neigh_count;
	assert_int_equal(t->link_count, 3);
	assert_int_equal(t->firewall_known, FW_TRUNCATED);
	assert_int_equal(kept + t->truncated, 3 + 2 + 8000 + 4000);
	msg_free(back);
	buf_free(&b);

	memset(&b, 0, sizeof b);
	assert_int_equal(wire_encode(m, &b, &why), 0); /* the same within a megabyte */
	assert_in_range(b.len, 400000, MSG_BYTES_MAX);
	assert_int_equal(wire_encode_within(m, 3, &b, &why), -1);
	msg_free(m);
	buf_free(&b);
}

static void what_this_machine_says_leaves_clean(void **state)
{
	struct buf b = {0};
	struct msg *m = msg_new(MSG_REPORT);
	struct snapshot *s = m->u.report.snapshot = snapshot_new();
	(void)state;
	s->link_count = 1;
	s->links = mem_array(1, sizeof *s->links);
	memcpy(s->links[0].name, "e\xff\x01t", 4);
	assert_int_equal(wire_encode(m, &b, &why), 0);
	struct msg *back = wire_decode(b.data, b.len, &why);
	assert_non_null(back);
	assert_string_equal(back->u.report.snapshot->links[0].name, "e??t");
	msg_free(back);
	msg_free(m);
	buf_free(&b);
}

/* ---- malformed ---- */

static void garbage_is_refused(void **state)
{
	static const char *const rows[] = {"\x0a\xff",     "\x0a\x05\x61\x62",
	                                   "\x0a\x01\x00", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
	                                   "\x0b",         "\x12\x02\x08\x80"};
	static uint8_t big[MSG_BYTES_MAX + 1];
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_null(wire_decode(rows[i], strlen(rows[i]), &why));
		assert_true(why.text[0]);
	}
	assert_null(wire_decode(big, sizeof big, &why));
	assert_null(wire_decode("\x0a\xff", 2, NULL));
}

/* Half a million empty links in a megabyte, and nested ones: memory stays bounded, so it is refused. */
static void a_bomb_does_not_go_off(void **state)
{
	struct buf b = {0}, s = {0}, item = {0};
	(void)state;
	for (size_t i = 0; i < 500000; i++)
		put_sub(&s, 6, &item);
	put_sub(&b, 5, &s);
	assert_refused(BODY_REPORT, &b, "malformed");
}

/* ---- versions ---- */

static void an_older_hello_has_defaults(void **state)
{
	struct buf b = {0};
	(void)state;
	put_num(&b, 1, 1);
	put_num(&b, 2, 1);
	struct msg *m = assert_taken(BODY_HELLO, &b, MSG_HELLO);
	assert_int_equal(m->u.hello.version_max, 1);
	assert_int_equal(m->u.hello.probe_port, PROBE_PORT_DEFAULT);
	assert_string_equal(m->u.hello.restart, "");
	assert_int_equal(m->u.hello.service_count, 0);
	msg_free(m);
}

static void an_older_report_has_defaults(void **state)
{
	struct buf b = {0}, rows = {0};
	(void)state;
	put_num(&b, 2, 5);
	put_column(&rows, 1, 2, 9);
	put_column(&rows, 3, 2, KIND_UDP);
	put_column(&rows, 15, 2, 0x1f);
	put_sub(&b, 4, &rows); /* neither duplicated nor reordered */
	struct msg *m = assert_taken(BODY_REPORT, &b, MSG_REPORT);
	assert_int_equal(m->u.report.row_count, 2);
	assert_int_equal(m->u.report.rows[1].pair, 9);
	assert_int_equal(m->u.report.rows[1].seen, 0x1f);
	assert_int_equal(m->u.report.rows[1].duplicated, 0);
	assert_int_equal(m->u.report.health.steal_permille, -1);
	assert_null(m->u.report.snapshot);
	msg_free(m);
}

static void an_older_plan_and_round_have_defaults(void **state)
{
	struct buf b = {0}, peer = {0};
	(void)state;
	put_bytes(&peer, 3, key, PAIR_KEY_LEN);
	put_sub(&b, 4, &peer);
	struct msg *m = assert_taken(BODY_PLAN, &b, MSG_PLAN);
	assert_true(m->u.plan.report_ms > 0 && m->u.plan.budget_pps > 0);
	assert_int_equal(m->u.plan.peers[0].port, PROBE_PORT_DEFAULT);
	assert_true(m->u.plan.peers[0].interval_ms > 0);
	assert_int_equal(m->u.plan.peers[0].other.ip4.ip.family, 0);
	msg_free(m);
	round_with(&b, 1, NULL);
	m = assert_taken(BODY_ARM, &b, MSG_ROUND_ARM);
	assert_true(m->u.round_arm.wait_ms > 0);
	assert_false(m->u.round_arm.flows[0].onlink);
	msg_free(m);
}

static void a_newer_peers_fields_are_skipped(void **state)
{
	struct buf b = {0}, rows = {0};
	(void)state;
	put_num(&b, 1, 3);
	put_num(&b, 2, 3);
	put_num(&b, 99, 12345);
	put_text(&b, 100, "something new");
	struct msg *m = assert_taken(BODY_HELLO, &b, MSG_HELLO);
	assert_int_equal(m->u.hello.version_min, 3);
	msg_free(m);
	put_column(&rows, 1, 3, 9);
	put_column(&rows, 3, 3, KIND_TCP);
	put_column(&rows, 77, 3, 1); /* a new column */
	put_sub(&b, 4, &rows);
	assert_fine(BODY_REPORT, &b, MSG_REPORT);
}

static void a_newer_peers_values_are_kept_apart(void **state)
{
	struct buf b = {0}, rows = {0}, kinds = {0}, item = {0};
	(void)state;
	put_column(&rows, 1, 3, 9);
	varint(&kinds, KIND_TCP);
	varint(&kinds, KIND_COUNT + 1); /* a kind we do not know: that row goes */
	varint(&kinds, KIND_ARP);
	put_sub(&rows, 3, &kinds);
	put_sub(&b, 4, &rows);
	struct msg *m = assert_taken(BODY_REPORT, &b, MSG_REPORT);
	assert_int_equal(m->u.report.row_count, 2);
	assert_int_equal(m->u.report.rows[1].kind, KIND_ARP);
	msg_free(m);
	put_bytes(&item, 3, key, PAIR_KEY_LEN);
	put_num(&item, 8, UINT32_MAX);
	put_sub(&b, 4, &item);
	m = assert_taken(BODY_PLAN, &b, MSG_PLAN);
	assert_int_equal(m->u.plan.peers[0].kinds, KIND_BIT(KIND_COUNT) - 1);
	msg_free(m);
}

static void a_newer_peers_ruleset_is_read_with_care(void **state)
{
	struct buf s = {0}, chain = {0}, rule = {0}, match = {0};
	(void)state;
	put_num(&match, 1, 200); /* a match we do not model */
	put_sub(&rule, 6, &match);
	put_num(&rule, 2, 200); /* a verdict we do not know */
	put_sub(&chain, 10, &rule);
	put_sub(&s, 15, &chain);
	put_num(&s, 5, 200);
	struct msg *m = report_with(&s);
	const struct fw_rule *r = &m->u.report.snapshot->chains[0].rules[0];
	assert_int_equal(r->verdict, FW_MAYBE);
	assert_int_equal(r->matches[0].field, FW_UNKNOWN);
	assert_int_equal(m->u.report.snapshot->firewall_known, FW_NOT_READ);
	msg_free(m);
}

static void unknown_messages_are_skipped(void **state)
{
	struct buf b = {0};
	(void)state;
	put_text(&b, 1, "whatever it is");
	assert_fine(77, &b, MSG_UNKNOWN);
	struct msg *m = wire_decode("", 0, &why);
	assert_non_null(m);
	assert_int_equal(m->type, MSG_UNKNOWN);
	assert_int_equal(wire_encode(m, &b, &why), -1);
	msg_free(m);
	msg_free(NULL);
}

static void the_common_version_is_the_highest_of_both(void **state)
{
	(void)state;
	assert_int_equal(wire_common_version(1, 2, 1, 2), 2);
	assert_int_equal(wire_common_version(1, 1, 1, 2), 1);
	assert_int_equal(wire_common_version(1, 2, 2, 3), 2);
	assert_int_equal(wire_common_version(3, 4, 1, 2), 0);
	assert_int_equal(wire_common_version(1, 2, 3, 4), 0);
	assert_int_equal(wire_common_version(0, 0, 1, 2), 0);
	assert_int_equal(wire_common_version(3, 2, 1, 4), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_name_is_clean_and_bounded),
	    cmocka_unit_test(a_name_fills_its_field_and_no_more),
	    cmocka_unit_test(a_reason_is_cut_and_cleaned),
	    cmocka_unit_test(an_answer_is_text),
	    cmocka_unit_test(numbers_out_of_range_are_refused),
	    cmocka_unit_test(a_key_has_its_length),
	    cmocka_unit_test(a_round_is_bounded),
	    cmocka_unit_test(a_prefix_is_of_its_family_and_length),
	    cmocka_unit_test(rows_are_bounded_and_rectangular),
	    cmocka_unit_test(plans_and_results_are_bounded),
	    cmocka_unit_test(queries_and_relayed_frames_are_bounded),
	    cmocka_unit_test(bad_entries_of_a_snapshot_are_left_out),
	    cmocka_unit_test(too_many_entries_are_left_out),
	    cmocka_unit_test(a_rule_is_kept_whole_or_not_at_all),
	    cmocka_unit_test(rules_and_values_are_bounded_over_all_chains),
	    cmocka_unit_test(an_oversize_snapshot_is_cut_to_fit),
	    cmocka_unit_test(what_this_machine_says_leaves_clean),
	    cmocka_unit_test(garbage_is_refused),
	    cmocka_unit_test(a_bomb_does_not_go_off),
	    cmocka_unit_test(an_older_hello_has_defaults),
	    cmocka_unit_test(an_older_report_has_defaults),
	    cmocka_unit_test(an_older_plan_and_round_have_defaults),
	    cmocka_unit_test(a_newer_peers_fields_are_skipped),
	    cmocka_unit_test(a_newer_peers_values_are_kept_apart),
	    cmocka_unit_test(a_newer_peers_ruleset_is_read_with_care),
	    cmocka_unit_test(unknown_messages_are_skipped),
	    cmocka_unit_test(the_common_version_is_the_highest_of_both),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
