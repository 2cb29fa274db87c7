/* The verdict's document by the contract: compared with tests/golden/cli/one-way.json (BW_GOLDEN=write makes it anew), which the
 * CLI's tests show to people. */
#include "collector/verdict_json.h"

#include "collector/scope.h"
#include "proto/base/mem.h"
#include "proto/model/dossier.h"
#include "proto/model/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GOLDEN "tests/golden/cli/one-way.json"

static void put_point(struct direction *d, const char *agent, const char *ifname, uint8_t role, uint32_t seen, bool looked)
{
	struct path_point *p = &d->path[d->path_count++];
	str_copy(p->agent, sizeof p->agent, agent);
	str_copy(p->ifname, sizeof p->ifname, ifname);
	p->role = role;
	p->seen = seen;
	p->looked = looked;
	p->kind_seen[KIND_UDP] = (uint16_t)seen;
	if (!looked)
		str_copy(p->why, sizeof p->why, "captures: Operation not permitted");
}

static void fill_direction(struct direction *d, const char *from, const char *to)
{
	static const enum kind kinds[] = {KIND_ARP, KIND_ICMP, KIND_UDP, KIND_TCP, KIND_UDP_LARGE};
	str_copy(d->from, sizeof d->from, from);
	str_copy(d->to, sizeof d->to, to);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		d->delivery[kinds[i]] = d->initiation[kinds[i]] = CELL_OK;
	d->delivery[KIND_ND] = d->initiation[KIND_ND] = CELL_SKIPPED;
	d->why[KIND_ND] = mem_strdup("the bridge has no IPv6 address");
	d->loss_sent = 64;
	d->loss_received = 64;
	d->path_complete = true;
}

static const char *const FOR[] = {"5 of 5 ICMP probes reached vm1:eth0, none its socket", "UDP and TCP of the same round arrived"};
static const char *const AGAINST[] = {"the rule has no counter"};

static char **copy_texts(const char *const *from, size_t count)
{
	char **list = mem_array(count, sizeof *list);
	for (size_t i = 0; i < count; i++)
		list[i] = mem_strdup(from[i]);
	return list;
}

static void fill_cause(struct verdict *v)
{
	v->causes = mem_array(2, sizeof *v->causes);
	v->cause_count = 2;
	v->causes[0] = (struct cause){
	    .id = mem_strdup("guest-fw-icmp-only"),
	    .title = mem_strdup("The guest's firewall drops incoming echo requests"),
	    .explanation = mem_strdup("Everything else passes, so services work while ping says the machine is dead."),
	    .title_zh = mem_strdup("虚拟机防火墙只丢弃 ping"),
	    .explanation_zh = mem_strdup("其他一切正常：服务可用，而 ping 显示机器不可达。"),
	    .confidence = 0.9712,
	    .where = mem_strdup("vm1"),
	    .component = mem_strdup("inet filter input"),
	    .direction = mem_strdup("host1->vm1"),
	    .for_count = 2,
	    .for_text = copy_texts(FOR, 2),
	    .against_count = 1,
	    .against_text = copy_texts(AGAINST, 1),
	    .fix_count = 1,
	    .fixes = mem_array(1, sizeof(struct fix)),
	    .verify = mem_strdup("bothways diagnose host1 vm1")};
	v->causes[0].fixes[0] =
	    (struct fix){.where = mem_strdup("vm1"), .command = mem_strdup("nft delete rule inet filter input handle 7")};
	v->causes[1] = (struct cause){.id = mem_strdup("icmp-echo-ignore"),
	                              .confidence = 0.02,
	                              .where = mem_strdup("vm1"),
	                              .direction = mem_strdup("host1->vm1")};
}

static void fill_tail(struct verdict *v)
{
	v->ruled_out_count = 1;
	v->ruled_out = mem_array(1, sizeof *v->ruled_out);
	v->ruled_out[0] = (struct ruled_out){mem_strdup("host-fw-output-drop"), mem_strdup("the probes left host1")};
	v->changed_count = 1;
	v->changed = mem_array(1, sizeof *v->changed);
	str_copy(v->changed[0].agent, sizeof v->changed[0].agent, "vm1");
	v->changed[0].fact = mem_strdup("firewall.inet.filter.input");
	v->changed[0].was = NULL;
	v->changed[0].now = mem_strdup("hook input policy accept; icmp type echo-request drop");
	v->changed[0].at.ns = 1795341600LL * 1000000000;
	v->note_count = 1;
	v->notes = mem_array(1, sizeof *v->notes);
	v->notes[0] = mem_strdup("drop reasons of the kernel are not read on host1");
	v->took_ms = 840;
	v->at.ns = 1795341612LL * 1000000000;
}

static struct verdict *one_way(void)
{
	struct verdict *v = verdict_new();
	str_copy(v->a, sizeof v->a, "host1");
	str_copy(v->b, sizeof v->b, "vm1");
	str_copy(v->tenant_a, sizeof v->tenant_a, "fleet");
	str_copy(v->tenant_b, sizeof v->tenant_b, "red");
	v->sentence = mem_strdup("host1 cannot ping vm1: vm1's own firewall drops what arrives; everything else works both ways.");
	for (int d = 0; d < 2; d++)
		fill_direction(&v->dir[d], d ? "vm1" : "host1", d ? "host1" : "vm1");
	put_point(&v->dir[0], "host1", "", POINT_SOCKET, 25, true);
	put_point(&v->dir[0], "host1", "br0", POINT_BRIDGE, 0, false);
	put_point(&v->dir[0], "host1", "vnet3", POINT_PORT, 25, true);
	put_point(&v->dir[0], "vm1", "eth0", POINT_NIC, 25, true);
	put_point(&v->dir[0], "vm1", "", POINT_SOCKET, 20, true);
	put_point(&v->dir[1], "vm1", "", POINT_SOCKET, 25, true);
	put_point(&v->dir[1], "vm1", "eth0", POINT_NIC, 25, true);
	put_point(&v->dir[1], "host1", "vnet3", POINT_PORT, 25, true);
	put_point(&v->dir[1], "host1", "", POINT_SOCKET, 25, true);
	v->dir[0].delivery[KIND_ICMP] = v->dir[0].initiation[KIND_ICMP] = CELL_LOST;
	v->dir[0].loss_received = 59;
	v->dir[0].cut_count = 1;
	v->dir[0].cuts[0] = (struct cut){.kinds = KIND_BIT(KIND_ICMP),
	                                 .after = 3,
	                                 .before = 4,
	                                 .drop_reason = "NETFILTER_DROP",
	                                 .drop_place = "nft_do_chain",
	                                 .drop_if = "eth0",
	                                 .drop_where = "vm1",
	                                 .rule = "inet filter input handle 7: icmp type echo-request drop"};
	fill_cause(v);
	fill_tail(v);
	verdict_decide_state(v);
	return v;
}

static char *render(const struct verdict *v)
{
	json_t *doc = verdict_json(v, 0x0123456789abcdefULL);
	assert_non_null(doc);
	char *text = json_dumps(doc, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	json_decref(doc);
	return text;
}

static void document_is_the_golden_one(void **state)
{
	(void)state;
	struct verdict *v = one_way();
	char *text = render(v), expected[16384] = "";
	const char *mode = getenv("BW_GOLDEN");
	FILE *f = fopen(GOLDEN, mode && strcmp(mode, "write") == 0 ? "w+" : "r");
	assert_non_null(f);
	if (mode && strcmp(mode, "write") == 0) {
		fprintf(f, "%s\n", text);
		rewind(f);
	}
	size_t n = fread(expected, 1, sizeof expected - 1, f);
	fclose(f);
	assert_true(n > 0 && expected[n - 1] == '\n');
	expected[n - 1] = '\0';
	assert_string_equal(text, expected);
	assert_int_equal(verdict_exit_code(v), 2);
	free(text);
	verdict_free(v);
}

static void kinds_not_measured_are_absent(void **state)
{
	(void)state;
	struct verdict *v = one_way();
	json_t *doc = verdict_json(v, 1);
	json_t *dir = json_array_get(json_object_get(doc, "directions"), 0), *delivery = json_object_get(dir, "delivery");
	assert_null(json_object_get(delivery, "tcp6"));
	assert_string_equal(json_string_value(json_object_get(delivery, "nd")), "skipped");
	assert_non_null(json_object_get(json_object_get(dir, "why"), "nd"));
	assert_string_equal(json_string_value(json_object_get(delivery, "icmp")), "lost");
	assert_string_equal(json_string_value(json_object_get(json_object_get(dir, "initiation"), "icmp")), "fail");
	json_decref(doc);
	verdict_free(v);
}

static void bytes_that_are_no_utf8_do_not_lose_the_answer(void **state)
{
	(void)state;
	struct verdict *v = one_way();
	str_copy(v->dir[0].path[2].ifname, IFNAME_LEN, "tap\xff\xfe");
	free(v->sentence);
	v->sentence = mem_strdup("bad \x80 byte");
	char *text = render(v);
	assert_non_null(strstr(text, "host1:tap??"));
	assert_non_null(strstr(text, "bad ? byte"));
	free(text);
	verdict_free(v);
}

static void exit_codes_follow_the_contract(void **state)
{
	(void)state;
	struct verdict *v = verdict_new();
	v->state = STATE_OK;
	assert_int_equal(verdict_exit_code(v), 0);
	v->state = STATE_UNDETERMINED;
	assert_int_equal(verdict_exit_code(v), 3);
	v->state = STATE_ONE_WAY; /* a cut and no cause: undetermined */
	assert_int_equal(verdict_exit_code(v), 3);
	verdict_free(v);
	v = one_way();
	assert_int_equal(verdict_exit_code(v), 2);
	verdict_free(v);
}

/* Asked the other way round, it is the same verdict with the other direction first. */
static void swapped_twice_it_is_the_same(void **state)
{
	(void)state;
	json_t *doc = json_load_file(GOLDEN, 0, NULL), *was = json_deep_copy(doc);
	const char *a = json_string_value(json_object_get(was, "a"));
	verdict_doc_swap(doc);
	assert_string_equal(json_string_value(json_object_get(doc, "b")), a);
	json_t *second = json_array_get(json_object_get(doc, "directions"), 1);
	assert_string_equal(json_string_value(json_object_get(second, "from")), a);
	assert_false(json_equal(doc, was));
	verdict_doc_swap(doc);
	assert_true(json_equal(doc, was));
	assert_int_equal(verdict_doc_exit_code(doc), 2);
	json_decref(doc);
	json_decref(was);
	doc = json_loads("{\"state\": \"ok\"}", 0, NULL);
	assert_int_equal(verdict_doc_exit_code(doc), 0);
	verdict_doc_swap(doc); /* nothing to swap */
	json_decref(doc);
	doc = json_loads("{\"state\": \"undetermined\", \"causes\": []}", 0, NULL);
	assert_int_equal(verdict_doc_exit_code(doc), 3);
	json_decref(doc);
}

static void a_tenant_is_not_told_why_others_did_not_look(void **state)
{
	(void)state;
	json_t *doc = json_loads("{\"schema\": \"bothways.verdict/1\", \"a\": \"h\", \"b\": \"red/vm\", \"tenant_a\": \"fleet\","
	                         " \"tenant_b\": \"red\", \"directions\": [{\"path\": [{\"point\": \"h:br0\", \"why\": \"secret\"},"
	                         " {\"point\": \"red/vm:eth0\", \"why\": \"no right\", \"looked\": false}]}]}",
	                         0, NULL);
	assert_non_null(doc);
	json_t *scoped = scope_for_tenant(doc, "red");
	const json_t *path = json_object_get(json_array_get(json_object_get(scoped, "directions"), 0), "path");
	assert_null(json_object_get(json_array_get(path, 0), "why"));
	assert_string_equal(json_string_value(json_object_get(json_array_get(path, 0), "point")), "h:br0");
	assert_string_equal(json_string_value(json_object_get(json_array_get(path, 1), "why")), "no right");
	assert_string_equal(json_string_value(json_object_get(json_array_get(path, 1), "point")), "vm:eth0");
	json_decref(scoped);
	json_decref(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(document_is_the_golden_one),
	    cmocka_unit_test(a_tenant_is_not_told_why_others_did_not_look),
	    cmocka_unit_test(swapped_twice_it_is_the_same),
	    cmocka_unit_test(kinds_not_measured_are_absent),
	    cmocka_unit_test(bytes_that_are_no_utf8_do_not_lose_the_answer),
	    cmocka_unit_test(exit_codes_follow_the_contract),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
