/* Names of the contract, the state of a pair, and look-ups in a dossier. */
#include "proto/model/dossier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void kinds_have_the_names_of_the_contract(void **state)
{
	static const char *const names[] = {"arp", "icmp",  "udp",  "tcp",  "icmp_large",  "udp_large",
	                                    "nd",  "icmp6", "udp6", "tcp6", "icmp_large6", "udp_large6"};
	(void)state;
	for (int k = 0; k < (int)(sizeof names / sizeof *names); k++) {
		assert_string_equal(kind_info(k)->name, names[k]);
		assert_int_equal(kind_parse(names[k]), k);
	}
	for (int k = 0; k < KIND_COUNT; k++)
		assert_int_equal(kind_parse(kind_info(k)->name), k);
	assert_int_equal(kind_parse("ipx"), -1);
	assert_int_equal(kind_parse(""), -1);
}

static void masks_hold_what_they_say(void **state)
{
	(void)state;
	for (int k = KIND_ICMP; k <= KIND_UDP_LARGE; k++) {
		int k6 = k + KIND_ND;
		assert_true(KIND_MASK_4 & KIND_BIT(k));
		assert_true(KIND_MASK_6 & KIND_BIT(k6));
		assert_int_equal(kind_info(k)->proto, kind_info(k6)->proto);
		assert_int_equal(kind_info(k)->large, kind_info(k6)->large);
		assert_int_equal(kind_info(k6)->family, 6);
	}
}

static void kinds_that_go_together_are_one_word(void **state)
{
	(void)state;
	static const struct {
		kind_mask kinds;
		const char *text;
	} rows[] = {
	    {0, ""},
	    {KIND_MASK_4 | KIND_MASK_6 | KIND_BIT(KIND_ARP) | KIND_BIT(KIND_ND), "everything"},
	    {KIND_MASK_4 | KIND_MASK_6, "IP packets"},
	    {KIND_MASK_4 | KIND_BIT(KIND_ARP), "IPv4 packets, ARP"},
	    {KIND_BIT(KIND_ICMP) | KIND_BIT(KIND_ICMP_LARGE), "IPv4 ICMP"},
	    {KIND_BIT(KIND_ICMP_LARGE) | KIND_BIT(KIND_UDP_LARGE) | KIND_BIT(KIND_ICMP_LARGE6) | KIND_BIT(KIND_UDP_LARGE6),
	     "large packets"},
	    {KIND_BIT(KIND_TCP) | KIND_BIT(KIND_TCP6) | KIND_BIT(KIND_UDP6), "TCP, small IPv6 UDP"},
	};
	char text[KINDS_TEXT_MAX];
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_string_equal(kinds_text(rows[i].kinds, text, sizeof text), rows[i].text);
	assert_string_equal(kinds_text(~0u, text, 8), "everyth");
}

static void ladder_rises(void **state)
{
	(void)state;
	for (int i = 1; i < LADDER_COUNT; i++)
		assert_true(ladder_sizes[i] > ladder_sizes[i - 1]);
}

static void cells_have_the_names_of_the_contract(void **state)
{
	(void)state;
	assert_string_equal(cell_name(CELL_LOST, true), "lost");
	assert_string_equal(cell_name(CELL_LOST, false), "fail");
	assert_string_equal(cell_name(CELL_REPLY_ONLY, true), "reply-only");
	assert_string_equal(cell_name(CELL_SKIPPED, false), "skipped");
	assert_string_equal(state_name(STATE_BOTH_WAYS), "both-ways");
	assert_true(cell_is_bad(CELL_SLOW) && cell_is_bad(CELL_IMPOSTOR));
	assert_false(cell_is_bad(CELL_OK) || cell_is_bad(CELL_UNKNOWN) || cell_is_bad(CELL_SKIPPED));
}

static void points_are_named_by_machine_and_place(void **state)
{
	struct path_point nic = {.agent = "vm1", .ifname = "eth0", .role = POINT_NIC};
	struct path_point socket = {.agent = "vm1", .role = POINT_SOCKET};
	char text[POINT_NAME_MAX];
	(void)state;
	assert_string_equal(path_point_name(&nic, text), "vm1:eth0");
	assert_string_equal(path_point_name(&socket, text), "vm1:socket");
}

/* ---- state ---- */

/* One letter per cell, in the order delivery a->b, delivery b->a, initiation a->b, initiation b->a. */
static uint8_t cell_of(char c)
{
	static const char letters[] = "?.LPSRYI-";
	const char *at = strchr(letters, c);
	assert_non_null(at);
	return (uint8_t)(at - letters);
}

struct case_of {
	const char *icmp, *udp; /* the four cells of the kind */
	enum state expected;
	const char *what;
};

static const struct case_of cases[] = {
    {"....", "....", STATE_OK, "healthy"},
    {"????", "----", STATE_UNDETERMINED, "nothing is known"},
    {"????", "....", STATE_OK, "what is not known does not count"},
    {"-.-.", "....", STATE_OK, "what is skipped does not count"},
    {"L.LL", "....", STATE_ONE_WAY, "one kind is lost one way; both pings fail"},
    {".LLL", "....", STATE_ONE_WAY, "the other way"},
    {"LLLL", "....", STATE_BOTH_WAYS, "lost both ways"},
    {"L.LL", ".LLL", STATE_BOTH_WAYS, "one kind each way is still both ways"},
    {"R.R.", "....", STATE_ONE_WAY, "refused on the way is not delivered"},
    {"I.I.", "....", STATE_ONE_WAY, "somebody else got it"},
    {"Y.L.", "....", STATE_ONE_WAY, "works only as a reply"},
    {"..L.", "....", STATE_ONE_WAY, "deliveries fine, one cannot open a conversation"},
    {"..R.", "....", STATE_ONE_WAY, "deliveries fine, one is refused"},
    {"..Y.", "....", STATE_ONE_WAY, "deliveries fine, one works only as a reply"},
    {"..I.", "....", STATE_ONE_WAY, "deliveries fine, an impostor answers"},
    {"..LL", "....", STATE_BOTH_WAYS, "neither can open one"},
    {"..L.", "...L", STATE_BOTH_WAYS, "neither can, by different kinds"},
    {"L.L.", "..LL", STATE_ONE_WAY, "delivery comes first: initiation of others does not make it both"},
    {"P...", "....", STATE_DEGRADED, "some are lost"},
    {"....", "..S.", STATE_DEGRADED, "late"},
    {"P.L.", "....", STATE_DEGRADED, "a conversation that fails on a lossy path is the loss's"},
    {"P.L.", "..L.", STATE_ONE_WAY, "but not when another kind fails on a clean one"},
    {"P...", ".L..", STATE_ONE_WAY, "loss outright beats loss in part"},
    {"L???", "L?-?", STATE_UNDETERMINED, "fails one way, the other way is not known at all"},
    {"L?LL", "????", STATE_ONE_WAY, "the other way is known by its conversations"},
    {"??L?", "????", STATE_UNDETERMINED, "only one side speaks"},
};

static void set_cells(struct verdict *v, enum kind k, const char *letters)
{
	v->dir[0].delivery[k] = cell_of(letters[0]);
	v->dir[1].delivery[k] = cell_of(letters[1]);
	v->dir[0].initiation[k] = cell_of(letters[2]);
	v->dir[1].initiation[k] = cell_of(letters[3]);
}

static void state_is_decided_by_delivery_then_initiation(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct verdict *v = verdict_new();
		set_cells(v, KIND_ICMP, cases[i].icmp);
		set_cells(v, KIND_UDP_LARGE6, cases[i].udp);
		verdict_decide_state(v);
		if (v->state != cases[i].expected)
			fail_msg("%s: %s, not %s", cases[i].what, state_name(v->state), state_name(cases[i].expected));
		verdict_free(v);
	}
	verdict_free(NULL);
}

/* Seen from the other side the state is the same. */
static void state_has_no_preferred_side(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct verdict *v = verdict_new();
		const char *a = cases[i].icmp, *b = cases[i].udp;
		set_cells(v, KIND_ICMP, (char[]){a[1], a[0], a[3], a[2], 0});
		set_cells(v, KIND_UDP_LARGE6, (char[]){b[1], b[0], b[3], b[2], 0});
		verdict_decide_state(v);
		assert_int_equal(v->state, cases[i].expected);
		verdict_free(v);
	}
}

/* ---- dossier ---- */

static struct dossier d;
static struct round_result at_a, at_b, at_host;

static void dossier_of_three(void)
{
	static struct point_seen seen = {.point = 5, .flow = 1, .probes = 1};
	memset(&d, 0, sizeof d);
	d.party_count = 3;
	strcpy(d.party[0].name, "vm1");
	strcpy(d.party[1].name, "vm2");
	strcpy(d.party[2].name, "host1");
	d.party[0].kind = d.party[1].kind = AGENT_GUEST;
	d.party[2].kind = AGENT_HOST;
	d.party[0].at.known = true;
	d.party[0].at.host = 2;
	d.party[1].at.host = 2; /* but not known */
	d.party[0].result = &at_a;
	d.party[1].result = &at_b;
	d.party[2].result = &at_host;
	d.flow_count = 2;
	d.flows[0] = (struct flow){.id = 0, .dir = 0};
	d.flows[1] = (struct flow){.id = 1, .dir = 1};
	at_a = (struct round_result){.sent_count = 1, .received_count = 1};
	at_a.sent[0].flow = 0;
	at_a.received[0].flow = 1;
	at_b = (struct round_result){.sent_count = 1};
	at_b.sent[0].flow = 1;
	at_host = (struct round_result){.status_count = 2, .seen_count = 1, .seen = &seen};
	at_host.status[0] = (struct point_status){.point = 5, .armed = true};
	at_host.status[1] = (struct point_status){.point = 6, .armed = true, .dropped = 3};
	d.point_count = 3;
	for (uint8_t i = 0; i < 3; i++) {
		d.points[i].id = (uint8_t)(5 + i);
		d.points[i].party = 2;
	}
}

static void a_dossier_knows_who_sent_and_received(void **state)
{
	(void)state;
	dossier_of_three();
	assert_ptr_equal(dossier_sent(&d, 0), &at_a.sent[0]);
	assert_ptr_equal(dossier_sent(&d, 1), &at_b.sent[0]);
	assert_ptr_equal(dossier_received(&d, 1), &at_a.received[0]);
	assert_null(dossier_received(&d, 0));
	assert_null(dossier_sent(&d, 9));
	d.party[0].result = NULL;
	assert_null(dossier_sent(&d, 0));
}

static void a_dossier_knows_who_looked(void **state)
{
	bool looked;
	(void)state;
	dossier_of_three();
	assert_non_null(dossier_seen(&d, 5, 1, &looked));
	assert_true(looked);
	assert_null(dossier_seen(&d, 5, 0, &looked)); /* looked and saw nothing */
	assert_true(looked);
	assert_null(dossier_seen(&d, 6, 1, &looked)); /* lost packets itself */
	assert_false(looked);
	assert_null(dossier_seen(&d, 7, 1, &looked)); /* never armed */
	assert_false(looked);
	assert_null(dossier_seen(&d, 99, 1, &looked));
	assert_false(looked);
}

static void a_dossier_knows_its_parties(void **state)
{
	(void)state;
	dossier_of_three();
	assert_int_equal(dossier_party(&d, "host1"), 2);
	assert_int_equal(dossier_party(&d, "host9"), -1);
	assert_int_equal(dossier_host(&d, 0), 2);
	assert_int_equal(dossier_host(&d, 1), -1);
	assert_int_equal(dossier_host(&d, 2), 2);
	assert_int_equal(dossier_host(&d, -1), -1);
	d.skip_why[1][KIND_TCP] = strdup("no address");
	dossier_clear(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(kinds_have_the_names_of_the_contract),
	    cmocka_unit_test(masks_hold_what_they_say),
	    cmocka_unit_test(kinds_that_go_together_are_one_word),
	    cmocka_unit_test(ladder_rises),
	    cmocka_unit_test(cells_have_the_names_of_the_contract),
	    cmocka_unit_test(points_are_named_by_machine_and_place),
	    cmocka_unit_test(state_is_decided_by_delivery_then_initiation),
	    cmocka_unit_test(state_has_no_preferred_side),
	    cmocka_unit_test(a_dossier_knows_who_sent_and_received),
	    cmocka_unit_test(a_dossier_knows_who_looked),
	    cmocka_unit_test(a_dossier_knows_its_parties),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
