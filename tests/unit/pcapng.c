/* The capture file: every block's bytes, and what a round becomes. */
#include "collector/pcapng.h"
#include "collector/capture_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_bytes(const struct buf *b, const void *expected, size_t len)
{
	assert_int_equal(b->len, len);
	assert_memory_equal(b->data, expected, len);
}

static void a_section(void **state)
{
	(void)state;
	static const char *const comments[] = {"ok"};
	static const char expected[] = "\x0a\x0d\x0d\x0a\x3c\0\0\0"       /* type, length 60 */
	                               "\x4d\x3c\x2b\x1a\1\0\0\0"         /* magic, version 1.0 */
	                               "\xff\xff\xff\xff\xff\xff\xff\xff" /* length not told */
	                               "\1\0\2\0ok\0\0"                   /* comment, padded */
	                               "\3\0\5\0Linux\0\0\0"              /* os */
	                               "\4\0\1\0b\0\0\0"                  /* application */
	                               "\0\0\0\0\x3c\0\0\0";              /* end of options, length again */
	struct buf b = {0};
	pcapng_section(&b, &(struct pcapng_section){.os = "Linux", .application = "b", .comment_count = 1, .comments = comments});
	assert_bytes(&b, expected, sizeof expected - 1);
	buf_free(&b);
}

static void an_interface(void **state)
{
	(void)state;
	static const char expected[] = "\1\0\0\0\x34\0\0\0"
	                               "\1\0\0\0\x40\1\0\0"   /* Ethernet, 320 bytes */
	                               "\2\0\7\0h1:vnet\0"    /* name */
	                               "\3\0\4\0port"         /* description */
	                               "\x09\0\1\0\x09\0\0\0" /* nanoseconds */
	                               "\0\0\0\0\x34\0\0\0";
	struct buf b = {0};
	pcapng_interface(&b, &(struct pcapng_interface){.name = "h1:vnet", .description = "port", .snap_len = 320});
	assert_bytes(&b, expected, sizeof expected - 1);
	buf_free(&b);
}

static void a_packet(void **state)
{
	(void)state;
	static const char expected[] = "\6\0\0\0\x3c\0\0\0"
	                               "\2\0\0\0"                         /* interface */
	                               "\x04\x03\x02\x01\x08\x07\x06\x05" /* upper half, lower half of the time */
	                               "\5\0\0\0\xdc\5\0\0"               /* kept 5 of 1500 */
	                               "abcde\0\0\0"
	                               "\1\0\3\0udp\0"
	                               "\2\0\4\0\2\0\0\0" /* outbound */
	                               "\0\0\0\0\x3c\0\0\0";
	struct buf b = {0};
	pcapng_packet(&b, &(struct pcapng_packet){.interface = 2,
	                                          .at = {0x0102030405060708},
	                                          .bytes = (const uint8_t *)"abcde",
	                                          .kept = 5,
	                                          .length = 1500,
	                                          .way = PCAPNG_OUT,
	                                          .comment = "udp"});
	assert_bytes(&b, expected, sizeof expected - 1);
	buf_free(&b);
}

static void statistics(void **state)
{
	(void)state;
	static const char expected[] = "\5\0\0\0\x34\0\0\0"
	                               "\1\0\0\0\0\0\0\0\7\0\0\0"
	                               "\4\0\x08\0\3\0\0\0\0\0\0\0"
	                               "\5\0\x08\0\0\0\0\0\1\0\0\0"
	                               "\0\0\0\0\x34\0\0\0";
	struct buf b = {0};
	pcapng_statistics(&b, &(struct pcapng_statistics){.interface = 1, .at = {7}, .received = 3, .dropped = (uint64_t)1 << 32});
	assert_bytes(&b, expected, sizeof expected - 1);
	buf_free(&b);
}

/* A text longer than an option can be is cut before the character that does not fit. */
static void a_long_comment_is_cut_at_a_character(void **state)
{
	(void)state;
	struct buf b = {0};
	char *text = mem_alloc(65537 + 1);
	memset(text, 'x', 65537);
	memcpy(text + 65534, "\xc3\xa9", 2);
	pcapng_interface(&b, &(struct pcapng_interface){.comment = text});
	assert_int_equal((uint8_t)b.data[18] | (uint8_t)b.data[19] << 8, 65534);
	assert_int_equal(b.len % 4, 0);
	buf_free(&b);
	free(text);
}

/* ---- a round between host h and guest g, whose clock is ahead ---- */

#define AHEAD_NS 5000000
#define DELAY_NS 1000

static struct dossier *d;
static struct verdict *v;
static struct round_result results[2];
static struct frame_kept frames[2][4];
static uint8_t bytes[2][4] = {"abc", "def"};

static void frame(int party, int i, uint8_t point, uint8_t flow, uint8_t part, int64_t at)
{
	frames[party][i] = (struct frame_kept){.point = point,
	                                       .flow = flow,
	                                       .seq = 2,
	                                       .part = part,
	                                       .way = party == 0 ? FRAME_OUT : FRAME_IN,
	                                       .at = {at + (party == 1 ? AHEAD_NS : 0)},
	                                       .length = 60,
	                                       .kept = 3,
	                                       .bytes = bytes[party]};
	results[party].frames = frames[party];
	results[party].frames_count = (size_t)i + 1;
}

static void point(int i, int party, const char *ifname, uint8_t role)
{
	d->points[i].id = (uint8_t)i;
	d->points[i].party = party;
	d->points[i].role = role;
	str_copy(d->points[i].ifname, sizeof d->points[i].ifname, ifname);
	struct point_status *s = &results[party].status[results[party].status_count++];
	*s = (struct point_status){.point = (uint8_t)i, .armed = true};
}

static int setup(void **state)
{
	(void)state;
	static const char *const names[] = {"fleet/h", "red/g"}, *const tenants[] = {"fleet", "red"};
	d = mem_alloc(sizeof *d);
	v = verdict_new();
	memset(results, 0, sizeof results);
	for (int i = 0; i < 2; i++) {
		str_copy(d->party[i].name, sizeof d->party[i].name, names[i]);
		str_copy(d->party[i].tenant, sizeof d->party[i].tenant, tenants[i]);
		str_copy(v->dir[i].from, sizeof v->dir[i].from, names[i]);
		str_copy(v->dir[i].to, sizeof v->dir[i].to, names[1 - i]);
		d->party[i].kind = i ? AGENT_GUEST : AGENT_HOST;
		d->party[i].result = &results[i];
		d->flows[i] = (struct flow){.id = (uint8_t)i, .kind = KIND_UDP, .dir = (uint8_t)i, .count = 3};
	}
	str_copy(v->a, sizeof v->a, names[0]);
	str_copy(v->b, sizeof v->b, names[1]);
	v->sentence = mem_strdup("fleet/h and red/g are well, says blue/spy.");
	d->party_count = d->flow_count = 2;
	point(0, 1, "eth0", POINT_NIC);
	point(1, 0, "vnet1", POINT_PORT);
	d->point_count = 2;
	d->path_count[0] = 4;
	d->path[0][0] = -1;
	d->path[0][1] = 1;
	d->path[0][2] = 0;
	d->path[0][3] = -2;
	frame(0, 0, 1, 0, PART_PROBE, 1000000);
	frame(1, 0, 0, 0, PART_PROBE, 1000000 + DELAY_NS);
	frame(1, 1, 0, 0, PART_ANSWER, 2000000);
	frame(0, 1, 1, 0, PART_ANSWER, 2000000 + DELAY_NS);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	verdict_free(v);
	free(d);
	return 0;
}

static bool has(const struct buf *b, const char *text) { return memmem(b->data, b->len, text, strlen(text)) != NULL; }

static size_t at(const struct buf *b, const char *text)
{
	char *found = memmem(b->data, b->len, text, strlen(text));
	if (!found)
		fail_msg("not in the file: %s", text);
	return (size_t)(found - b->data);
}

static void a_round_becomes_a_file(void **state)
{
	(void)state;
	struct capture_summary *sum = mem_alloc(sizeof *sum);
	struct buf b = {0};
	results[0].frames_left_out = 7;
	results[1].status[0].dropped = 9;
	capture_file(d, v, NULL, &b, sum);
	assert_int_equal(sum->frames, 4);
	assert_int_equal(sum->left_out, 7);
	assert_int_equal(sum->point_count, 2);
	assert_string_equal(sum->points[0].name, "fleet/h:vnet1"); /* in the order of the path */
	assert_string_equal(sum->points[1].name, "red/g:eth0");
	assert_int_equal(sum->points[1].dropped, 9);
	assert_true(at(&b, "are well") < at(&b, "fleet/h:vnet1"));
	assert_true(at(&b, "fleet/h:vnet1") < at(&b, "red/g:eth0"));
	assert_true(has(&b, "udp fleet/h->red/g seq 2: probe"));
	assert_true(has(&b, "udp fleet/h->red/g seq 2: answer"));
	assert_true(has(&b, "port of a guest of host fleet/h"));
	assert_true(has(&b, "Clock of red/g: 5.000 ms ahead of fleet/h's, give or take 0.001 ms"));
	assert_true(has(&b, "7 frames are left out"));
	buf_free(&b);
	free(sum);
}

static void a_tenant_gets_what_its_own_guests_saw(void **state)
{
	(void)state;
	struct capture_summary *sum = mem_alloc(sizeof *sum);
	struct buf b = {0};
	results[0].frames_left_out = 7;
	capture_file(d, v, "red", &b, sum);
	assert_int_equal(sum->frames, 2);
	assert_int_equal(sum->left_out, 0);
	assert_int_equal(sum->point_count, 1);
	assert_string_equal(sum->points[0].name, "g:eth0");
	assert_false(has(&b, "vnet1"));
	assert_false(has(&b, "spy"));
	assert_false(has(&b, "red/"));
	assert_true(has(&b, "udp h->g seq 2: probe"));
	assert_int_equal(sum->points[0].frames, 2);
	buf_free(&b);
	capture_file(d, v, "blue", &b, sum); /* somebody who owns none of it */
	assert_int_equal(sum->frames, 0);
	assert_int_equal(sum->point_count, 0);
	buf_free(&b);
	free(sum);
}

static void the_reason_why_nobody_looked_is_in_it(void **state)
{
	(void)state;
	struct capture_summary *sum = mem_alloc(sizeof *sum);
	struct buf b = {0};
	results[0].status[0] = (struct point_status){.point = 1, .why = "Operation not permitted"};
	d->party[1].result = NULL;
	capture_file(d, v, NULL, &b, sum);
	assert_true(has(&b, "Nobody looked here: Operation not permitted"));
	assert_true(has(&b, "Nobody looked here: its agent did not report"));
	assert_false(sum->points[0].looked);
	buf_free(&b);
	free(sum);
}

static void clocks_are_compared_only_with_packets_both_ways(void **state)
{
	(void)state;
	struct clock_offset c;
	assert_true(capture_clock(d, 1, &c));
	assert_int_equal(c.ns, AHEAD_NS);
	assert_int_equal(c.uncertain_ns, DELAY_NS);
	assert_int_equal(c.pairs, 1);
	results[0].frames_count = 1; /* the answer did not arrive */
	assert_false(capture_clock(d, 1, &c));
	d->party[0].result = NULL;
	assert_false(capture_clock(d, 1, &c));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_section),
	    cmocka_unit_test(an_interface),
	    cmocka_unit_test(a_packet),
	    cmocka_unit_test(statistics),
	    cmocka_unit_test(a_long_comment_is_cut_at_a_character),
	    T(a_round_becomes_a_file),
	    T(a_tenant_gets_what_its_own_guests_saw),
	    T(the_reason_why_nobody_looked_is_in_it),
	    T(clocks_are_compared_only_with_packets_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
