/* A record comes back from either of its forms as it was: every field of a dossier is carried, or a test here fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collector/judge.h"
#include "proto/record.h"
#include "tests/unit/case_world.h"

/* ---- every byte of the structs ---- */

struct span {
	size_t from, to;
};

#define AT(f)                                                                                                                      \
	{                                                                                                                          \
		offsetof(struct dossier, f), offsetof(struct dossier, f) + sizeof(((struct dossier *)0)->f)                        \
	}
#define BEYOND(f)                                                                                                                  \
	{                                                                                                                          \
		offsetof(struct dossier, f[1]), offsetof(struct dossier, f) + sizeof(((struct dossier *)0)->f)                     \
	}
#define HOLE(f, g)                                                                                                                 \
	{                                                                                                                          \
		offsetof(struct dossier, f) + sizeof(((struct dossier *)0)->f), offsetof(struct dossier, g)                        \
	}
#define POINTER(f)                                                                                                                 \
	{                                                                                                                          \
		offsetof(struct dossier, f), offsetof(struct dossier, f) + sizeof(void *)                                          \
	}

#if defined(__GNUC__) && !defined(__clang__) /* only gcc tells where the padding is */
/* What has no value of its own to carry: counts, whose elements are carried; pointers, whose targets are; elements that there
 * are none of. Everything else is looked at, byte by byte. */
static const struct span left_out[] = {
    AT(party_count),
    AT(flow_count),
    AT(point_count),
    AT(path_count),
    AT(witness_count),
    AT(owner_count),
    AT(skip_why),
    POINTER(imported),
    AT(party[0].service_count),
    AT(party[0].change_count),
    POINTER(party[0].before),
    POINTER(party[0].after),
    POINTER(party[0].result),
    POINTER(party[0].changes),
    BEYOND(party[0].services),
    BEYOND(party),
    BEYOND(flows),
    BEYOND(points),
    BEYOND(path[0]),
    BEYOND(path[1]),
    BEYOND(witnesses),
    BEYOND(owners),
    HOLE(party[0].at, party[0].change_count), /* which the compiler does not tell: put nothing there */
    HOLE(path_complete, usual_us),
    HOLE(onlink, witness_count),
    HOLE(service_port, imported),
};

#define HOLE_IS_ONE(f, g)                                                                                                          \
	_Static_assert(offsetof(struct dossier, g) - offsetof(struct dossier, f) - sizeof(((struct dossier *)0)->f) < 8, #f)
HOLE_IS_ONE(party[0].at, party[0].change_count);
HOLE_IS_ONE(path_complete, usual_us);
HOLE_IS_ONE(onlink, witness_count);
HOLE_IS_ONE(service_port, imported);

static bool is_left_out(size_t at)
{
	for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
		if (at >= left_out[i].from && at < left_out[i].to)
			return true;
	return false;
}

/* Every field has a value of which one bit more or less is another one that is allowed. */
static struct record *record_full(void)
{
	struct record *r = mem_alloc(sizeof *r);
	struct dossier *d = &r->dossier;
	struct party *p = &d->party[0];
	r->format = RECORD_FORMAT;
	d->party_count = 4;
	d->flow_count = d->point_count = d->witness_count = d->owner_count = 1;
	d->path_count[0] = d->path_count[1] = 1;
	p->service_count = 1;
	memset(p->name, 'a', sizeof p->name - 1);
	memset(p->tenant, 'a', sizeof p->tenant - 1);
	memset(p->restart, 'a', sizeof p->restart - 1);
	memset(p->services[0].start, 'a', sizeof p->services[0].start - 1);
	memset(p->at.port, 'a', IFNAME_LEN - 1);
	memset(p->at.bridge, 'a', IFNAME_LEN - 1);
	memset(p->at.uplink, 'a', IFNAME_LEN - 1);
	p->at.host = 2;
	memset(d->points[0].ifname, 'a', IFNAME_LEN - 1);
	d->points[0].party = d->witnesses[0].from = d->witnesses[0].to = 2;
	memset(d->witnesses[0].from_name, 'a', TITLE_MAX_LEN - 1);
	memset(d->witnesses[0].to_name, 'a', TITLE_MAX_LEN - 1);
	memset(d->owners[0].agent, 'a', TITLE_MAX_LEN - 1);
	memset(d->owners[0].ifname, 'a', IFNAME_LEN - 1);
	memset(d->owners[0].machine, 'a', sizeof d->owners[0].machine - 1);
	d->owners[0].mac = M("02:00:00:00:00:11");
	d->owners[0].ip = P("fd00::11/64");
	d->path[0][0] = d->path[1][0] = -3;
	d->flows[0].kind = KIND_UDP6;
	d->flows[0].id_base = d->flows[0].dport = 2;
	memset(d->flows[0].ifname, 'a', IFNAME_LEN - 1);
	for (struct endpoint *e = &p->ep; e; e = e == &p->ep ? &p->ep_last : NULL) {
		memset(e->ifname, 'a', IFNAME_LEN - 1);
		e->mac = M("02:00:00:00:00:11");
		e->ip4 = P("10.0.0.1/24");
		e->ip6 = P("fd00::11/64");
	}
	d->flows[0].src = d->flows[0].dst = P("fd00::11/64").ip;
	d->flows[0].dst_mac = M("02:00:00:00:00:11");
	return r;
}

/* Bytes that an encoder may refuse to tell from others: the ends of texts, families, and what is beyond a number's range. */
static bool is_bound(const uint8_t *base, size_t at)
{
	static const struct span spans[] = {
	    AT(party[0].ep.ip4),
	    AT(party[0].ep.ip6),
	    AT(party[0].ep_last.ip4),
	    AT(party[0].ep_last.ip6),
	    AT(flows[0].src),
	    AT(flows[0].dst),
	    AT(owners[0].ip),
	    AT(path[0][0]),
	    AT(path[1][0]),
	    AT(points[0].party),
	    AT(witnesses[0].from),
	    AT(witnesses[0].to),
	    AT(party[0].at.host),
	    AT(flows[0].id),
	    AT(flows[0].kind),
	    AT(flows[0].dir),
	    AT(flows[0].stage),
	    AT(flows[0].count),
	    AT(skipped),
	};
	for (size_t i = 0; i < sizeof spans / sizeof *spans; i++)
		if (at > spans[i].from && at < spans[i].to)
			return true; /* its first byte is enough to see that it is carried */
	return base[at] == 0 && at > 0 && base[at - 1] == 'a';
}

#endif

static void encoded(const struct record *r, struct buf *out)
{
	struct err e;
	buf_clear(out);
	if (record_encode(r, out, &e))
		fail_msg("%s", e.text);
}

static bool is_same(const struct buf *a, const struct buf *b) { return a->len == b->len && memcmp(a->data, b->data, a->len) == 0; }

#if defined(__GNUC__) && !defined(__clang__)
static void padding_find(struct dossier *out)
{
	memset(out, 0xff, sizeof *out);
	__builtin_clear_padding(out);
	__builtin_clear_padding(&out->party[0]); /* it does not look into what is within all of them */
	__builtin_clear_padding(&out->party[0].ep);
	__builtin_clear_padding(&out->party[0].ep_last);
	__builtin_clear_padding(&out->party[0].at);
	__builtin_clear_padding(&out->party[0].services[0]);
	__builtin_clear_padding(&out->flows[0]);
	__builtin_clear_padding(&out->points[0]);
	__builtin_clear_padding(&out->witnesses[0]);
	__builtin_clear_padding(&out->owners[0]);
}
#endif

static void test_every_field_of_a_dossier_is_carried(void **state)
{
	(void)state;
#if defined(__GNUC__) && !defined(__clang__)
	struct record *r = record_full();
	struct dossier *real = mem_alloc(sizeof *real);
	struct buf was = {0}, is = {0};
	uint8_t *bytes = (uint8_t *)&r->dossier;
	unsigned looked = 0;
	padding_find(real);
	encoded(r, &was);
	for (size_t i = 0; i < sizeof r->dossier; i++) {
		if (!((uint8_t *)real)[i] || is_left_out(i) || is_bound(bytes, i))
			continue;
		bytes[i] ^= 1;
		encoded(r, &is);
		if (is_same(&was, &is))
			fail_msg("byte %zu of struct dossier is not in proto/wire_record.c", i);
		bytes[i] ^= 1;
		looked++;
	}
	assert_true(looked > 1000);
	buf_free(&was);
	buf_free(&is);
	free(real);
	free(r);
#else
	skip(); /* only gcc tells where the padding is */
#endif
}

/* ---- there and back ---- */

static struct world *broken_pair(void)
{
	struct world *w = world_new("g1", "g2");
	changed(w, "g2", "addr.eth0.10.0.0.12/24", "present", NULL);
	changed(w, "g2", "firewall.inet.x.in", NULL, "hook input\tpriority 0");
	nothing_of(w, "g1", KIND_ICMP, false);
	fails(w, "g1", K(ICMP), CELL_LOST);
	w->d->skipped[1] = K(ND);
	w->d->skip_why[1][KIND_ND] = mem_strdup("no IPv6 here");
	return w;
}

/* As the collector has it: what came over the wire. */
static struct record record_of(const struct world *w)
{
	struct record r = {
	    .format = RECORD_FORMAT, .program = "1.2", .at = {1700000000000000001}, .took_ms = 412, .dossier = *w->d};
	memset(r.catalogue, 0xa5, sizeof r.catalogue);
	return r;
}

static void check_same_verdict(const struct dossier *a, const struct dossier *b)
{
	struct catalogue *c = catalogue_shipped();
	struct verdict *x = judge(c, a, 1, (struct wall){2}), *y = judge(c, b, 1, (struct wall){2});
	assert_string_equal(x->sentence, y->sentence);
	assert_int_equal(x->state, y->state);
	assert_int_equal(x->cause_count, y->cause_count);
	assert_int_equal(x->changed_count, y->changed_count);
	assert_int_equal(x->note_count, y->note_count);
	for (size_t i = 0; i < x->cause_count; i++)
		assert_string_equal(x->causes[i].id, y->causes[i].id);
	for (int dir = 0; dir < 2; dir++)
		assert_memory_equal(x->dir[dir].delivery, y->dir[dir].delivery, KIND_COUNT);
	verdict_free(x);
	verdict_free(y);
	catalogue_free(c);
}

static void test_bytes_and_back(void **state)
{
	struct world *w = broken_pair();
	struct record r = record_of(w);
	struct buf first = {0}, second = {0};
	struct err e = {0};
	(void)state;
	encoded(&r, &first);
	struct record *back = record_decode(first.data, first.len, &e);
	assert_non_null(back);
	encoded(back, &second);
	assert_true(is_same(&first, &second));
	check_same_verdict(w->d, &back->dossier);
	assert_string_equal(back->dossier.skip_why[1][KIND_ND], "no IPv6 here");
	record_free(back);
	buf_free(&first);
	buf_free(&second);
	world_free(w);
}

static void test_document_and_back(void **state)
{
	struct world *w = broken_pair();
	struct record r = record_of(w);
	struct shift shifts[] = {{"arp-proxy", -300}, {"mtu-drop", 510}};
	struct buf bytes = {0}, doc = {0}, again = {0};
	struct err e = {0};
	(void)state;
	r.shifts = shifts;
	r.shift_count = 2;
	encoded(&r, &bytes);
	assert_int_equal(record_write(&r, &doc, &e), 0);
	struct record *back = record_read(doc.data, doc.len, &e);
	if (!back)
		fail_msg("%s", e.text);
	encoded(back, &again);
	assert_true(is_same(&bytes, &again));
	assert_int_equal(back->shifts[0].milli, -300);
	assert_int_equal(back->at.ns, 1700000000000000001);
	record_free(back);
	buf_free(&bytes);
	buf_free(&doc);
	buf_free(&again);
	world_free(w);
}

static void test_frames_stay_out(void **state)
{
	struct world *w = broken_pair();
	struct record r = record_of(w);
	struct buf with = {0}, without = {0};
	struct round_result *result = w->result[0] ? w->result[0] : w->result[1];
	(void)state;
	encoded(&r, &without);
	result->frames = mem_array(1, sizeof *result->frames);
	result->frames_count = 1;
	result->frames[0].bytes = mem_alloc(10);
	result->frames[0].kept = 10;
	encoded(&r, &with);
	assert_true(is_same(&with, &without));
	buf_free(&with);
	buf_free(&without);
	world_free(w);
}

/* ---- refused ---- */

static void check_refused(const char *text, const char *because)
{
	struct err e = {0};
	struct record *r = record_read(text, strlen(text), &e);
	if (r)
		fail_msg("taken: %s", text);
	if (!strstr(e.text, because))
		fail_msg("refused because of \"%s\", not \"%s\"", e.text, because);
}

#define PARTIES "\"party\": [{}, {}]"

static void test_refused(void **state)
{
	static const struct {
		const char *dossier, *because;
	} cases[] = {
	    {"", "no two parties"},
	    {PARTIES ", \"path_ab\": [{\"at\": 0}]", "not in it"},
	    {PARTIES ", \"path_ba\": [{\"at\": -3}]", "not in it"},
	    {PARTIES ", \"path_ba\": [{\"at\": -2147483648}]", "not in it"},
	    {PARTIES ", \"points\": [{\"party\": 2}]", "not in it"},
	    {PARTIES ", \"points\": [{}]", "not in it"},
	    {PARTIES ", \"witnesses\": [{\"from\": 9}]", "not in it"},
	    {"\"party\": [{\"at\": {\"host\": 5}}, {}]", "not in it"},
	    {"\"party\": [{\"at\": {\"host\": 99}}, {}]", "out of range"},
	    {"\"party\": [{\"kind\": 7}, {}]", "out of range"},
	    {"\"party\": [{\"name\": 7}, {}]", "is not text"},
	    {"\"party\": [{\"changes\": [{\"was\": \"x\"}]}, {}]", "of nothing"},
	    {"\"party\": [{},{},{},{},{},{},{},{},{},{},{},{},{}]", "too many"},
	    {PARTIES ", \"flows\": [{\"kind\": 99}]", "out of range"},
	    {PARTIES ", \"round\": \"0xg\"", "not a number"},
	    {PARTIES ", \"now\": 1.5", "not such a number"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *text = mem_printf("{\"format\": 1, \"catalogue\": \"%064d\", \"dossier\": {%s}}", 0, cases[i].dossier);
		check_refused(text, cases[i].because);
		free(text);
	}
	check_refused("{", "line 1");
	check_refused("[]", "not an object");
	check_refused("{\"format\": 1}", "catalogue");
	char *newer = mem_printf("{\"format\": 2, \"catalogue\": \"%064d\", \"dossier\": {" PARTIES "}}", 0);
	check_refused(newer, "newer program");
	free(newer);
}

/* What a later version adds is skipped, what it leaves out has its default. */
static void test_other_versions(void **state)
{
	struct err e = {0};
	char *text = mem_printf(
	    "{\"format\": 1, \"catalogue\": \"%064d\", \"weather\": [1, {}], \"dossier\": {" PARTIES ", \"colour\": 4}}", 0);
	struct record *r = record_read(text, strlen(text), &e);
	(void)state;
	if (!r)
		fail_msg("%s", e.text);
	assert_int_equal(r->dossier.party[1].at.host, -1);
	record_free(r);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_field_of_a_dossier_is_carried),
	    cmocka_unit_test(test_bytes_and_back),
	    cmocka_unit_test(test_document_and_back),
	    cmocka_unit_test(test_frames_stay_out),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_other_versions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
