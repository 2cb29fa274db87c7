#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/addr.h"
#include "proto/base/err.h"
#include "proto/base/mem.h"
#include "proto/base/mono.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void an_error_is_one_line_and_carries_its_cause(void **state)
{
	struct err e = {""};

	(void)state;
	assert_int_equal(err_set(&e, "bad\nthing %d", 7), -1);
	assert_string_equal(e.text, "bad thing 7");
	errno = ENOENT;
	assert_int_equal(err_sys(&e, "file %s", "x"), -1);
	assert_string_equal(e.text, "file x: No such file or directory");
	err_prefix(&e, "config");
	assert_string_equal(e.text, "config: file x: No such file or directory");
	assert_int_equal(err_set(NULL, "nobody cares"), -1);
}

static void a_long_error_is_cut_not_overrun(void **state)
{
	char text[2 * ERR_TEXT_MAX];
	struct err e;

	(void)state;
	memset(text, 'a', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	err_set(&e, "%s", text);
	err_prefix(&e, "front");
	assert_int_equal(strlen(e.text), ERR_TEXT_MAX - 1);
	assert_memory_equal(e.text, "front: aaa", 10);
}

static void wall_time_is_read_as_it_is_written(void **state)
{
	struct wall t = {1795341600123000000}, back;
	char text[WALL_TEXT_MAX];

	(void)state;
	assert_string_equal(wall_format(t, text), "2026-11-22T10:00:00.123Z");
	assert_int_equal(wall_parse(text, &back), 0);
	assert_true(back.ns == t.ns);
	assert_int_equal(wall_parse("2026-11-22T10:00:00Z", &back), 0);
	assert_true(back.ns == t.ns - 123000000);
	assert_int_equal(wall_parse("2026-11-22 10:00:00.123000000Z", &back), 0);
	assert_true(back.ns == t.ns);
	for (size_t i = 0; i < 6; i++) {
		static const char *const bad[] = {"",
		                                  "yesterday",
		                                  "2026-13-22T10:00:00Z",
		                                  "2026-11-22T10:00:00",
		                                  "2026-11-22T10:00:00.Z",
		                                  "2026-11-22T10:00:00Zx"};
		assert_int_equal(wall_parse(bad[i], &back), -1);
	}
}

static void a_buffer_grows_and_is_consumed_from_the_front(void **state)
{
	struct buf b = {0};

	(void)state;
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%03d,", i);
	assert_int_equal(b.len, 4000);
	buf_consume(&b, 3996);
	assert_string_equal(b.data, "999,");
	buf_consume(&b, 100);
	assert_int_equal(b.len, 0);
	buf_add(&b, "", 0);
	assert_string_equal(b.data, "");
	buf_free(&b);
	assert_null(b.data);
}

static void a_vector_hands_out_zeroed_elements(void **state)
{
	struct {
		int a, b;
	} *items = NULL;
	size_t count = 0, cap = 0;

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(VEC_ADD(items, count, cap)->b, 0);
		items[count - 1].a = i;
	}
	assert_int_equal(count, 100);
	assert_int_equal(items[57].a, 57);
	free(items);
}

static void a_copy_that_does_not_fit_says_so(void **state)
{
	char out[4];

	(void)state;
	assert_int_equal(str_copy(out, sizeof out, "abc"), 0);
	assert_int_equal(str_copy(out, sizeof out, "abcd"), -1);
	assert_string_equal(out, "abc");
}

static void macs_parse_and_format(void **state)
{
	char text[MAC_TEXT_MAX];
	struct mac m;

	(void)state;
	assert_int_equal(mac_parse("02:Ab:00:ff:10:09", &m), 0);
	assert_string_equal(mac_format(m, text), "02:ab:00:ff:10:09");
	assert_true(mac_is_set(m));
	assert_int_equal(mac_parse("02:ab:00:ff:10", &m), -1);
	assert_int_equal(mac_parse("02:ab:00:ff:10:091", &m), -1);
	assert_int_equal(mac_parse("", &m), -1);
	assert_int_equal(mac_parse("02:ab:00:ff:10:0g", &m), -1);
}

static struct ip ip_of(const char *text)
{
	struct ip a;

	assert_int_equal(ip_parse(text, &a), 0);
	return a;
}

static struct prefix prefix_of(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	return p;
}

static void addresses_know_what_they_are(void **state)
{
	struct ip a;

	(void)state;
	assert_true(ip_is_link_local(ip_of("169.254.1.1")) && ip_is_link_local(ip_of("fe80::1")) &&
	            !ip_is_link_local(ip_of("fec0::1")));
	assert_true(ip_is_loopback(ip_of("127.9.9.9")) && ip_is_loopback(ip_of("::1")) && !ip_is_loopback(ip_of("::2")));
	assert_true(ip_is_multicast(ip_of("224.0.0.1")) && ip_is_multicast(ip_of("ff02::1")) &&
	            !ip_is_multicast(ip_of("10.0.0.1")));
	assert_true(ip_equal(ip_of("10.0.0.1"), ip_of("10.0.0.1")) && !ip_equal(ip_of("10.0.0.1"), ip_of("::1")));
	assert_int_equal(ip_parse("10.0.0.256", &a), -1);
	assert_int_equal(ip_parse("", &a), -1);
	assert_string_equal(ip_format((struct ip){0}, (char[IP_TEXT_MAX]){0}), "-");
}

static void addresses_go_through_the_socket_layer(void **state)
{
	struct sockaddr_storage sa;
	struct ip back;
	uint16_t port;

	(void)state;
	assert_int_equal(ip_to_sockaddr(ip_of("fe80::1"), 7401, 3, &sa), sizeof(struct sockaddr_in6));
	assert_int_equal(((struct sockaddr_in6 *)&sa)->sin6_scope_id, 3);
	assert_int_equal(ip_from_sockaddr((struct sockaddr *)&sa, &back, &port), 0);
	assert_true(ip_equal(back, ip_of("fe80::1")) && port == 7401);
	ip_to_sockaddr(ip_of("192.0.2.1"), 1, 0, &sa);
	assert_int_equal(ip_from_sockaddr((struct sockaddr *)&sa, &back, NULL), 0);
	assert_true(ip_equal(back, ip_of("192.0.2.1")));
	sa.ss_family = AF_UNIX;
	assert_int_equal(ip_from_sockaddr((struct sockaddr *)&sa, &back, NULL), -1);
}

static void prefixes_compare_by_their_bits(void **state)
{
	char text[PREFIX_TEXT_MAX];
	struct prefix p;

	(void)state;
	assert_true(prefix_contains(prefix_of("10.1.2.3/22"), ip_of("10.1.3.255")));
	assert_false(prefix_contains(prefix_of("10.1.2.3/22"), ip_of("10.1.4.0")));
	assert_true(prefix_contains(prefix_of("0.0.0.0/0"), ip_of("8.8.8.8")));
	assert_false(prefix_contains(prefix_of("0.0.0.0/0"), ip_of("::8")));
	assert_true(prefix_contains(prefix_of("2001:db8::/33"), ip_of("2001:db8:7fff::")));
	assert_false(prefix_contains(prefix_of("2001:db8::/33"), ip_of("2001:db8:8000::")));
	assert_true(prefix_same_net(prefix_of("10.0.0.1/24"), prefix_of("10.0.0.2/24")));
	assert_false(prefix_same_net(prefix_of("10.0.0.1/24"), prefix_of("10.0.0.2/25")));
	assert_string_equal(prefix_format(prefix_network(prefix_of("10.9.7.5/23")), text), "10.9.6.0/23");
	assert_string_equal(prefix_format(prefix_of("::1"), text), "::1/128");
	assert_int_equal(prefix_parse("10.0.0.0/33", &p), -1);
	assert_int_equal(prefix_parse("10.0.0.0/", &p), -1);
	assert_int_equal(prefix_parse("10.0.0.0/8x", &p), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_error_is_one_line_and_carries_its_cause),
	    cmocka_unit_test(a_long_error_is_cut_not_overrun),
	    cmocka_unit_test(wall_time_is_read_as_it_is_written),
	    cmocka_unit_test(a_buffer_grows_and_is_consumed_from_the_front),
	    cmocka_unit_test(a_vector_hands_out_zeroed_elements),
	    cmocka_unit_test(a_copy_that_does_not_fit_says_so),
	    cmocka_unit_test(macs_parse_and_format),
	    cmocka_unit_test(addresses_know_what_they_are),
	    cmocka_unit_test(addresses_go_through_the_socket_layer),
	    cmocka_unit_test(prefixes_compare_by_their_bits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
