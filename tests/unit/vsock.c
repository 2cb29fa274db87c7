/* What --oob vsock:... may look like, and that a kernel without vsock is said to be one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/vsock.h"

#include <string.h>
#include <unistd.h>

static void addresses_are_understood(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint32_t cid, port;
	} cases[] = {
	    {"vsock:7400", 0, 2, 7400}, {"vsock:1:7400", 0, 1, 7400},   {"vsock:4294967294:1", 0, 4294967294u, 1},
	    {"vsock:", -1, 0, 0},       {"vsock:0", -1, 0, 0},          {"vsock:x", -1, 0, 0},
	    {"vsock:1:", -1, 0, 0},     {"vsock:1:2:3", -1, 0, 0},      {"vsock:-1", -1, 0, 0},
	    {"vsock: 5", -1, 0, 0},     {"vsock:4294967295", -1, 0, 0}, {"vsock:99999999999999999999", -1, 0, 0},
	    {"vsocket:1", -1, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct vsock_addr a = {0};
		struct err e = {""};

		if (vsock_parse(cases[i].text, &a, &e) != cases[i].result)
			fail_msg("%s: %s", cases[i].text, e.text);
		if (cases[i].result == 0) {
			assert_int_equal(a.cid, cases[i].cid);
			assert_int_equal(a.port, cases[i].port);
		} else {
			assert_non_null(strstr(e.text, cases[i].text));
		}
	}
}

/* Whatever this machine has, it is a socket that decides later or one line that says why not. */
static void what_cannot_be_had_is_said(void **state)
{
	struct err e = {""};
	int fd = vsock_connect((struct vsock_addr){2, 1}, &e);

	(void)state;
	if (fd >= 0)
		close(fd);
	else
		assert_true(e.text[0] && !strchr(e.text, '\n'));
	e.text[0] = '\0';
	fd = vsock_listen(61234, &e);
	if (fd >= 0)
		close(fd);
	else
		assert_true(e.text[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(addresses_are_understood),
	    cmocka_unit_test(what_cannot_be_had_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
