#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/bothways-keys-XXXXXX";
static char path[64];

static int setup(void **state)
{
	(void)state;
	assert_int_equal(keys_init(), 0);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/a.key", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

static void file_put(const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	fputs(text, f);
	fclose(f);
	chmod(path, mode);
}

static void keys_go_through_hex(void **state)
{
	struct keypair k;
	uint8_t back[KEY_LEN];
	char text[KEY_TEXT_MAX];

	(void)state;
	keypair_make(&k);
	assert_int_equal(key_from_hex(key_hex(k.pub, text), back), 0);
	assert_memory_equal(back, k.pub, KEY_LEN);
	text[10] = 'x';
	assert_int_equal(key_from_hex(text, back), -1);
	assert_int_equal(key_from_hex("", back), -1);
}

static void a_key_file_comes_back_and_is_private(void **state)
{
	struct keyfile k = {.role = "agent", .endpoint = "tcp://192.0.2.1:7400", .name = "vm 1", .tenant = "red"}, back;
	struct err e = {""};
	struct stat st;

	(void)state;
	keypair_make(&k.pair);
	memset(k.collector, 7, KEY_LEN);
	assert_int_equal(keyfile_write(path, &k, &e), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(keyfile_read(path, &back, &e), 0);
	assert_memory_equal(&back, &k, sizeof k);
}

static void what_is_wrong_with_a_key_file_is_said(void **state)
{
	static const struct {
		const char *text;
		mode_t mode;
		const char *says;
	} cases[] = {
	    {"role: agent\n", 0644, "others can read it"},
	    {"role: agent\nnonsense\n", 0600, "line 2 is malformed"},
	    {"public: 12\n", 0600, "line 1 is malformed"},
	    {"role: agent\n\n# comment\nfuture: thing\n", 0600, "no `public` in it"},
	    {"public: 0000000000000000000000000000000000000000000000000000000000000000\n"
	     "secret: 0000000000000000000000000000000000000000000000000000000000000000\n",
	     0600, "do not belong together"},
	};
	struct keyfile k;
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		file_put(cases[i].text, cases[i].mode);
		assert_int_equal(keyfile_read(path, &k, &e), -1);
		assert_non_null(strstr(e.text, cases[i].says));
		assert_non_null(strstr(e.text, path));
	}
	unlink(path);
	assert_int_equal(keyfile_read(path, &k, &e), -1);
	assert_non_null(strstr(e.text, "No such file"));
	assert_int_equal(keyfile_read(dir, &k, &e), -1);
}

static void a_token_names_the_collector_and_derives_the_joining_key(void **state)
{
	uint8_t collector[KEY_LEN];
	char text[TOKEN_TEXT_MAX];
	struct keypair a, b;
	struct token t, back;
	struct err e;

	(void)state;
	memset(collector, 9, sizeof collector);
	token_make(&t, "tcp://[2001:db8::1]:7400", collector);
	assert_int_equal(token_format(&t, text), 0);
	assert_memory_equal(text, "bw1.", 4);
	assert_int_equal(token_parse(text, &back, &e), 0);
	assert_memory_equal(&back, &t, sizeof t);
	token_keypair(&t, &a);
	token_keypair(&back, &b);
	assert_memory_equal(&a, &b, sizeof a);
	assert_memory_not_equal(a.sec, t.secret, KEY_LEN);
	token_make(&t, "tcp://[2001:db8::1]:7400", collector);
	token_keypair(&t, &b);
	assert_memory_not_equal(&a, &b, sizeof a);
}

static void a_damaged_token_is_refused(void **state)
{
	uint8_t collector[KEY_LEN] = {1};
	char text[TOKEN_TEXT_MAX], long_text[2 * TOKEN_TEXT_MAX] = "bw1.";
	struct token t;
	struct err e;

	(void)state;
	assert_int_equal(token_parse("", &t, &e), -1);
	assert_int_equal(token_parse("bw2.AAAA", &t, &e), -1);
	assert_non_null(strstr(e.text, "bw1."));
	assert_int_equal(token_parse("bw1.", &t, &e), -1);
	memset(long_text + 4, 'A', sizeof long_text - 5);
	assert_int_equal(token_parse(long_text, &t, &e), -1);
	token_make(&t, "tcp://h:1", collector);
	token_format(&t, text);
	text[80] = '!';
	assert_int_equal(token_parse(text, &t, &e), -1);
	text[50] = '\0';
	assert_int_equal(token_parse(text, &t, &e), -1);
}

/* ---- sealing ---- */

struct ends {
	struct keypair guest_key, collector_key;
	struct seal guest, collector;
};

static void ends_open(struct ends *n)
{
	struct buf first = {0}, out = {0};

	keypair_make(&n->guest_key);
	keypair_make(&n->collector_key);
	seal_start(&n->guest, &n->guest_key, n->collector_key.pub);
	seal_close(&n->guest, "first", 5, &first);
	assert_true(seal_accept(&n->collector, &n->collector_key, n->guest_key.pub, first.data, first.len));
	assert_true(seal_open(&n->collector, first.data, first.len, &out));
	buf_free(&out);
	buf_free(&first);
}

static void sealed_bytes_open_once_and_in_order(void **state)
{
	struct buf one = {0}, two = {0}, out = {0};
	struct ends n;

	(void)state;
	ends_open(&n);
	seal_close(&n.guest, "one", 3, &one);
	seal_close(&n.guest, "two", 3, &two);
	assert_int_equal(one.len, 3 + SEAL_OVERHEAD);
	assert_true(seal_open(&n.collector, two.data, two.len, &out));
	assert_string_equal(out.data, "two");
	assert_false(seal_open(&n.collector, two.data, two.len, &out)); /* a replay */
	assert_false(seal_open(&n.collector, one.data, one.len, &out)); /* too late */
	assert_int_equal(out.len, 3);
	buf_free(&one);
	buf_free(&two);
	buf_free(&out);
}

static void forged_and_reflected_bytes_do_not_open(void **state)
{
	struct buf b = {0}, out = {0};
	struct ends n;

	(void)state;
	ends_open(&n);
	seal_close(&n.guest, "payload", 7, &b);
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] ^= 0x04;
		assert_false(seal_open(&n.collector, b.data, b.len, &out));
		b.data[i] ^= 0x04;
	}
	for (size_t len = 0; len < b.len; len++)
		assert_false(seal_open(&n.collector, b.data, len, &out));
	assert_false(seal_open(&n.guest, b.data, b.len, &out)); /* back at its sender */
	assert_true(seal_open(&n.collector, b.data, b.len, &out));
	buf_free(&b);
	buf_free(&out);
}

static void another_key_opens_nothing(void **state)
{
	struct buf b = {0};
	struct keypair mallory;
	struct seal s;
	struct ends n;

	(void)state;
	ends_open(&n);
	keypair_make(&mallory);
	seal_start(&s, &mallory, n.collector_key.pub);
	seal_close(&s, "x", 1, &b);
	assert_false(seal_accept(&n.collector, &n.collector_key, n.guest_key.pub, b.data, b.len));
	assert_false(seal_accept(&n.collector, &mallory, n.guest_key.pub, b.data, b.len));
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keys_go_through_hex),
	    cmocka_unit_test(a_key_file_comes_back_and_is_private),
	    cmocka_unit_test(what_is_wrong_with_a_key_file_is_said),
	    cmocka_unit_test(a_token_names_the_collector_and_derives_the_joining_key),
	    cmocka_unit_test(a_damaged_token_is_refused),
	    cmocka_unit_test(sealed_bytes_open_once_and_in_order),
	    cmocka_unit_test(forged_and_reflected_bytes_do_not_open),
	    cmocka_unit_test(another_key_opens_nothing),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
