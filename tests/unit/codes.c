/* codes: the table of explanations is whole, and what people paste is found in it. */
#include "collector/cli/codes.h"
#include "collector/cli/lang.h"

#include "collector/diagnose/diagnose.h"
#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TYPES "/sys/kernel/btf/vmlinux"

static struct codes *codes;

static int set_up(void **state)
{
	(void)state;
	codes = codes_builtin();
	return codes ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	codes_free(codes);
	return 0;
}

static const struct code *find_code(const char *system, const char *name)
{
	for (size_t i = 0; i < codes_count(codes); i++)
		if (strcmp(codes_at(codes, i)->system->id, system) == 0 && strcmp(codes_at(codes, i)->code, name) == 0)
			return codes_at(codes, i);
	return NULL;
}

static bool is_chinese(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text >= 0xe4 && (unsigned char)*text <= 0xe9)
			return true;
	return false;
}

/* ---- the table ---- */

static void every_code_is_whole(void **state)
{
	(void)state;
	assert_true(codes_count(codes) >= 700);
	for (size_t i = 0; i < codes_count(codes); i++) {
		const struct code *c = codes_at(codes, i);
		if (!*c->system->sources || !is_chinese(c->meaning[1]) || is_chinese(c->meaning[0]) || !c->advice_count)
			fail_msg("%s %s lacks a text, its Chinese, its sources or what to look at next", c->system->id, c->code);
		for (size_t k = 0; k < c->advice_count; k++)
			assert_true(is_chinese(c->advice[k][1]) && *c->advice[k][0] && !is_chinese(c->advice[k][0]));
		for (size_t k = 0; k < i; k++)
			if (codes_at(codes, k)->system == c->system && strcmp(codes_at(codes, k)->code, c->code) == 0)
				fail_msg("%s %s is there twice", c->system->id, c->code);
	}
	for (size_t i = 0; i < codes_system_count(codes); i++)
		assert_true(codes_system_at(codes, i)->count > 0);
}

static bool has(const struct codes_found *f, const struct code *c)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->items[i] == c)
			return true;
	return false;
}

static bool finds(const char *query, const struct code *c)
{
	struct codes_found f;
	codes_find(codes, query, &f);
	return f.how == CODES_EXACT && has(&f, c);
}

static bool finds_by_aliases(const struct code *c)
{
	for (const char *at = c->aliases; *at;) {
		const char *end = strstr(at, " ; ");
		size_t n = end ? (size_t)(end - at) : strlen(at);
		char *alias = mem_printf("%.*s", (int)n, at);
		for (char *star = strchr(alias, '*'); star; star = strchr(alias, '*'))
			*star = 'x';
		bool found = finds(alias, c);
		if (!found)
			print_error("not found by \"%s\"\n", alias);
		free(alias);
		if (!found)
			return false;
		at += end ? n + 3 : n;
	}
	return true;
}

static void every_code_is_found_by_its_name_number_and_aliases(void **state)
{
	(void)state;
	for (size_t i = 0; i < codes_count(codes); i++) {
		const struct code *c = codes_at(codes, i);
		if (!finds(c->code, c) || (*c->number && !finds(c->number, c)) || !finds_by_aliases(c))
			fail_msg("%s %s (%s) is not found", c->system->id, c->code, c->number);
	}
}

/* Every reason for a drop that the kernel of this machine has; without type information there is nothing to compare with. */
static void every_drop_reason_of_this_kernel_is_known(void **state)
{
	static const char prefix[] = "SKB_DROP_REASON_";
	static const char *const no_reasons[] = {"MAX", "SUBSYS_"};
	(void)state;
	FILE *f = fopen(TYPES, "r");
	if (!f)
		skip();
	struct buf b = {0};
	char chunk[65536];
	for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
		buf_add(&b, chunk, n);
	fclose(f);
	size_t seen = 0;
	for (char *at = b.data; (at = memmem(at, b.len - (size_t)(at - b.data), prefix, sizeof prefix - 1)); at++) {
		const char *name = at + sizeof prefix - 1;
		if (at == b.data || at[-1] || strcmp(name, no_reasons[0]) == 0 || strncmp(name, no_reasons[1], 7) == 0)
			continue;
		if (!find_code("skb", name))
			fail_msg("%s is not explained", at);
		seen++;
	}
	buf_free(&b);
	assert_true(seen == 0 || seen > 50);
}

static void errors_of_sockets_are_known_with_their_texts(void **state)
{
	(void)state;
	for (int n = 88; n <= 116; n++) {
		char number[16];
		struct codes_found f;
		if (n == 109)
			continue; /* ETOOMANYREFS is of unix sockets */
		const struct code *c = find_code("errno", strerrorname_np(n));
		assert_non_null(c);
		snprintf(number, sizeof number, "%d", n);
		assert_string_equal(c->number, number);
		codes_find(codes, strerrordesc_np(n), &f);
		if (f.how != CODES_EXACT || !has(&f, c))
			fail_msg("\"%s\" does not find %s", strerrordesc_np(n), c->code);
	}
}

static void causes_are_in_the_catalogue(void **state)
{
	struct err e = {0};
	struct catalogue *cat = catalogue_builtin(&e);
	(void)state;
	if (!cat)
		fail_msg("%s", e.text);
	for (size_t i = 0; i < codes_count(codes); i++)
		for (size_t k = 0; k < codes_at(codes, i)->cause_count; k++) {
			const char *cause = codes_at(codes, i)->causes[k];
			if (catalogue_find(cat, cause) < 0)
				fail_msg("%s %s: there is no cause %s", codes_at(codes, i)->system->id, codes_at(codes, i)->code,
				         cause);
		}
	catalogue_free(cat);
}

/* ---- the search ---- */

/* What people ask or paste, and what it must find: first of all, and how many. */
static void questions_find_what_is_meant(void **state)
{
	static const struct {
		const char *query, *system, *code;
		size_t count; /* 0 = any number of them */
	} CASES[] = {
	    {"EHOSTUNREACH", "errno", "EHOSTUNREACH", 1},
	    {"ehostunreach", "errno", "EHOSTUNREACH", 1},
	    {"errno 113", "errno", "EHOSTUNREACH", 1},
	    {"113", "errno", "EHOSTUNREACH", 2},
	    {"0x71", "errno", "EHOSTUNREACH", 2},
	    {"-113", "errno", "EHOSTUNREACH", 2},
	    {"No route to host", "errno", "EHOSTUNREACH", 0},
	    {"icmp 3/13", "icmpv4", "3/13", 1},
	    {"ICMP type 3 code 13", "icmpv4", "3/13", 1},
	    {"icmp6 1/4", "icmpv6", "1/4", 1},
	    {"3/1", "icmpv4", "3/1", 2},
	    {"icmp 3", "icmpv4", "3/0", 16},
	    {"NETFILTER_DROP", "skb", "NETFILTER_DROP", 1},
	    {"SKB_DROP_REASON_IP_RPFILTER", "skb", "IP_RPFILTER", 1},
	    {"kernel of vm1: NETFILTER_DROP in nft_do_chain at eth0", "skb", "NETFILTER_DROP", 1},
	    {"0x80070035", "win32", "ERROR_BAD_NETPATH", 1},
	    {"0x8007274D", "wsa", "WSAECONNREFUSED", 1},
	    {"10065", "wsa", "WSAEHOSTUNREACH", 1},
	    {"WSAEHOSTUNREACH", "wsa", "WSAEHOSTUNREACH", 1},
	    {"connect failed: 10060", "wsa", "WSAETIMEDOUT", 1},
	    {"connect to 10.0.0.5 failed: errno 111", "errno", "ECONNREFUSED", 1},
	    {"0xC000023D", "ntstatus", "STATUS_HOST_UNREACHABLE", 1},
	    {"pktmon 13", "pktmon", "PktMon 13", 1},
	    {"VIR_ERR_NO_NETWORK", "libvirt", "VIR_ERR_NO_NETWORK", 1},
	    {"ping: sendmsg: Operation not permitted", "ping", "sendmsg: Operation not permitted", 2},
	    {"From 10.0.0.1 icmp_seq=1 Destination Host Unreachable", "ping", "Destination Host Unreachable [from self]", 3},
	    {"Destination Host Unreachable", "icmpv4", "3/1", 3},
	    {"Reply from 10.0.0.9: Destination host unreachable.", "ping",
	     "Reply from <own IP>: Destination host unreachable. (Windows)", 0},
	    {"请求超时。", "ping", "Request timed out. (Windows)", 1},
	    {"br0: received packet on eth0 with own address as source address (addr:52:54:00:11:22:33, vlan:0)", "dmesg",
	     "received packet with own address as source address", 1},
	    {"IP 10.0.0.1 > 10.0.0.2: ICMP host 10.0.0.9 unreachable - admin prohibited filter, length 36", "icmpv4", "3/13", 0},
	    {"[12.3] nf_conntrack: nf_conntrack: table full, dropping packet", "dmesg", "nf_conntrack: table full, dropping packet",
	     1},
	    {"netdev net0: MTU '9000' is bigger than the bridge MTU '1500'", "proxmox",
	     "netdev net0: MTU 'N' is bigger than the bridge MTU 'M'", 1},
	    {"2026-01-01 esx.problem.net.lacp.uplink.blocked: LAG lag1", "vmware", "esx.problem.net.lacp.uplink.blocked", 1},
	};
	(void)state;
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		struct codes_found f;
		codes_find(codes, CASES[i].query, &f);
		const struct code *want = find_code(CASES[i].system, CASES[i].code);
		assert_non_null(want);
		if (f.how != CODES_EXACT || (CASES[i].count && f.count != CASES[i].count) || !has(&f, want) ||
		    (strcmp(CASES[i].system, "icmpv4") != 0 && f.items[0] != want))
			fail_msg("\"%s\" finds %zu, first %s", CASES[i].query, f.count, f.count ? f.items[0]->code : "nothing");
	}
}

static void what_is_not_exact_finds_what_is_near(void **state)
{
	static const struct {
		const char *query, *code;
	} CASES[] = {{"NETFILTR_DROP", "NETFILTER_DROP"},       {"EHOSTUNREACHABLE", "EHOSTUNREACH"},
	             {"ECONREFUSED", "ECONNREFUSED"},           {"IP_RPFITLER", "IP_RPFILTER"},
	             {"no rout to host", "EHOSTUNREACH"},       {"conntrack full", "nf_conntrack: table full, dropping packet"},
	             {"WSAEHOSTUNREACHABLE", "WSAEHOSTUNREACH"}};
	(void)state;
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		struct codes_found f;
		codes_find(codes, CASES[i].query, &f);
		if (f.how != CODES_NEAR || strcmp(f.items[0]->code, CASES[i].code) != 0)
			fail_msg("\"%s\" finds %s", CASES[i].query, f.count ? f.items[0]->code : "nothing");
		assert_true(f.count <= 5);
	}
}

static void nonsense_finds_nothing(void **state)
{
	static const char *const QUERIES[] = {"", "   ", "zzzzqqq", "999999", "icmp 77/1", "the of and", "0x", "***", "\xff\xfe"};
	(void)state;
	for (size_t i = 0; i < sizeof QUERIES / sizeof *QUERIES; i++) {
		struct codes_found f;
		codes_find(codes, QUERIES[i], &f);
		if (f.how != CODES_NONE || f.count)
			fail_msg("\"%s\" finds %s", QUERIES[i], f.items[0]->code);
	}
}

/* ---- a table that is wrong is told with its line ---- */

static void mistakes_are_told_with_their_line(void **state)
{
#define SYSTEM "system\ts\tS\tS\tsrc\ts\n"
	static const struct {
		const char *text, *say;
	} CASES[] = {
	    {"system\ts\n", "line 1: a system has six fields"},
	    {SYSTEM SYSTEM, "line 2: this system was there before"},
	    {SYSTEM "t\tA\t1\t\tm\tm\t\t\n", "line 2: there is no such system"},
	    {SYSTEM "\n# remark\ns\tA\t1\t\tm\tm\t\n", "line 4: a code has eight fields"},
	    {SYSTEM "s\tA\t1\t\t\tm\t\t\n", "line 2: a code has eight fields"},
	    {SYSTEM "s\tA\t1\t\tm\tm\t\tnone\n", "line 2: there is no such advice"},
	    {"advice\ta\tx\n", "line 1: an advice has four fields"},
	    {SYSTEM "advice\ta\tx\ty\nadvice\ta\tx\ty\n", "line 3: this advice was there before"},
	    {SYSTEM "advice\ta\tx\ty\ns\tA\t1\t\tm\tm\t\ta a a a a\n", "line 3: too much advice"},
	    {SYSTEM "s\tA\t1\t\tm\tm\t1 2 3 4 5 6 7 8 9\t\n", "line 2: too many causes"},
	    {"a\tb\tc\td\te\tf\tg\th\ti\n", "line 1: fields are missing, or too many"},
	    {"alone\n", "line 1: fields are missing, or too many"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		struct err e = {0};
		struct codes *c = codes_parse(CASES[i].text, strlen(CASES[i].text), &e);
		assert_null(c);
		if (!strstr(e.text, CASES[i].say))
			fail_msg("\"%s\" instead of \"%s\"", e.text, CASES[i].say);
	}
}

/* ---- the language ---- */

static void the_language_is_what_was_asked_for_or_the_environment_says(void **state)
{
	static const struct {
		const char *given, *all, *messages, *lang;
		int rc;
		enum lang want;
	} CASES[] = {
	    {NULL, "", "", "", 0, LANG_EN},
	    {NULL, "", "", "zh_CN.UTF-8", 0, LANG_ZH},
	    {NULL, "", "en_US.UTF-8", "zh_CN.UTF-8", 0, LANG_EN},
	    {NULL, "zh_TW", "en_US.UTF-8", "C", 0, LANG_ZH},
	    {NULL, "C", "zh", "zh", 0, LANG_EN},
	    {NULL, "zhx", "", "", 0, LANG_EN},
	    {"en", "zh_CN", "", "", 0, LANG_EN},
	    {"zh", "C", "", "", 0, LANG_ZH},
	    {"zh-Hans", "", "", "", 0, LANG_ZH},
	    {"de", "", "", "zh", -1, LANG_EN},
	    {"", "", "", "zh", -1, LANG_EN},
	};
	(void)state;
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		enum lang lang = LANG_EN;
		struct err e = {0};
		setenv("LC_ALL", CASES[i].all, 1);
		setenv("LC_MESSAGES", CASES[i].messages, 1);
		setenv("LANG", CASES[i].lang, 1);
		assert_int_equal(lang_choose(CASES[i].given, &lang, &e), CASES[i].rc);
		assert_int_equal(lang, CASES[i].want);
		assert_true(!CASES[i].rc || e.text[0]);
	}
}

static void what_is_not_translated_is_english(void **state)
{
	json_t *doc = json_pack("{s:s, s:s, s:{s:s}}", "a", "one", "b", "two", "zh", "a", "一");
	(void)state;
	assert_string_equal(lang_text(doc, "a", LANG_EN), "one");
	assert_string_equal(lang_text(doc, "a", LANG_ZH), "一");
	assert_string_equal(lang_text(doc, "b", LANG_ZH), "two");
	assert_string_equal(lang_text(doc, "c", LANG_ZH), "");
	json_decref(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_code_is_whole),
	    cmocka_unit_test(every_code_is_found_by_its_name_number_and_aliases),
	    cmocka_unit_test(every_drop_reason_of_this_kernel_is_known),
	    cmocka_unit_test(errors_of_sockets_are_known_with_their_texts),
	    cmocka_unit_test(causes_are_in_the_catalogue),
	    cmocka_unit_test(questions_find_what_is_meant),
	    cmocka_unit_test(what_is_not_exact_finds_what_is_near),
	    cmocka_unit_test(nonsense_finds_nothing),
	    cmocka_unit_test(mistakes_are_told_with_their_line),
	    cmocka_unit_test(the_language_is_what_was_asked_for_or_the_environment_says),
	    cmocka_unit_test(what_is_not_translated_is_english),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
