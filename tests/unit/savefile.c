/* A file is all there or not at all. */
#include "collector/cli/savefile.h"

#include "proto/base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/bothways-save-XXXXXX";
static char path[64];

static const char *content(void)
{
	static char text[64];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	text[n < 0 ? 0 : n] = '\0';
	return n < 0 ? "(none)" : text;
}

static int files(void)
{
	int n = 0;
	DIR *d = opendir(dir);
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void an_old_one_stays_until_the_new_one_is_complete(void **state)
{
	(void)state;
	struct err e;
	struct stat st;
	struct savefile *f = savefile_new(path, &e);
	savefile_write(f, "first", 5);
	assert_string_equal(content(), "(none)");
	assert_int_equal(savefile_done(f, &e), 0);
	assert_string_equal(content(), "first");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	f = savefile_new(path, &e);
	savefile_write(f, "second", 6);
	assert_string_equal(content(), "first");
	savefile_drop(f);
	assert_string_equal(content(), "first");
	f = savefile_new(path, &e);
	savefile_write(f, "third", 5);
	assert_int_equal(savefile_done(f, &e), 0);
	assert_string_equal(content(), "third");
	assert_int_equal(files(), 1);
}

static void a_link_stays_one(void **state)
{
	(void)state;
	struct err e;
	struct stat st;
	char *link = mem_printf("%s/link", dir);
	assert_int_equal(symlink(path, link), 0);
	struct savefile *f = savefile_new(link, &e);
	savefile_write(f, "linked", 6);
	assert_int_equal(savefile_done(f, &e), 0);
	assert_string_equal(content(), "linked");
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	unlink(link);
	free(link);
}

static void a_device_is_written_as_it_is(void **state)
{
	(void)state;
	struct err e;
	struct stat st;
	struct savefile *f = savefile_new("/dev/null", &e);
	savefile_write(f, "x", 1);
	assert_int_equal(savefile_done(f, &e), 0);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
}

static void a_full_disk_is_one_line_and_leaves_nothing(void **state)
{
	(void)state;
	struct err e = {""};
	struct rlimit was, small = {3, 3};
	char *other = mem_printf("%s/other", dir);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	small.rlim_max = was.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	struct savefile *f = savefile_new(other, &e);
	setrlimit(RLIMIT_FSIZE, &small);
	savefile_write(f, "abcdef", 6);
	setrlimit(RLIMIT_FSIZE, &was);
	assert_int_equal(savefile_done(f, &e), -1);
	assert_non_null(strstr(e.text, other));
	assert_non_null(strstr(e.text, "too large"));
	assert_null(strchr(e.text, '\n'));
	assert_int_equal(access(other, F_OK), -1);
	f = savefile_new("/dev/full", &e);
	savefile_write(f, "x", 1);
	assert_int_equal(savefile_done(f, &e), -1);
	assert_non_null(strstr(e.text, "No space left"));
	free(other);
}

static void nowhere_is_one_line(void **state)
{
	(void)state;
	struct err e = {""};
	assert_null(savefile_new("/proc/nowhere/x", &e));
	assert_string_equal(e.text, "/proc/nowhere/x: No such file or directory");
	assert_null(savefile_new("/proc/x", &e));
	assert_non_null(strstr(e.text, "/proc/x: "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_old_one_stays_until_the_new_one_is_complete),
	    cmocka_unit_test(a_link_stays_one),
	    cmocka_unit_test(a_device_is_written_as_it_is),
	    cmocka_unit_test(a_full_disk_is_one_line_and_leaves_nothing),
	    cmocka_unit_test(nowhere_is_one_line),
	};
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof path, "%s/file", dir);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	rmdir(dir);
	return failed;
}
