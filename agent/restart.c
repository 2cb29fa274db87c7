#include "agent/restart.h"

#include "proto/base/mem.h"

#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Spent once joined. */
static const char *const left_out[] = {"join", "name"};
/* The command may be run from another directory. */
static const char *const paths[] = {"state", "oob", "relay-dir", "config"};

static bool among(const char *const *names, size_t count, const char *name, size_t len)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return true;
	return false;
}
#define AMONG(names, name, len) among(names, sizeof names / sizeof *names, name, len)

static void word_add(struct buf *b, const char *word)
{
	bool plain = *word;

	for (const char *p = word; *p; p++)
		plain = plain && (isalnum((unsigned char)*p) || strchr("/._:-=,@%+", *p));
	buf_puts(b, " ");
	if (plain) {
		buf_puts(b, word);
		return;
	}
	buf_puts(b, "'");
	for (const char *p = word; *p; p++)
		buf_printf(b, *p == '\'' ? "'\\''" : "%c", *p);
	buf_puts(b, "'");
}

static void path_add(struct buf *b, const char *path)
{
	char here[PATH_MAX], whole[2 * PATH_MAX];

	if (*path == '/' || strncmp(path, "vsock:", 6) == 0 || !getcwd(here, sizeof here)) {
		word_add(b, path);
		return;
	}
	str_copy(whole, sizeof whole, here);
	strncat(whole, "/", sizeof whole - strlen(whole) - 1);
	strncat(whole, path, sizeof whole - strlen(whole) - 1);
	word_add(b, whole);
}

/* Adds argv[i], with its value when that is the next word. Returns the index of the last one dealt with. */
static int option_add(struct buf *b, int argc, char **argv, int i)
{
	const char *name = argv[i] + 2, *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	bool separate = !equals && i + 1 < argc;

	if (AMONG(left_out, name, len))
		return separate ? i + 1 : i;
	if (!AMONG(paths, name, len) || (!equals && !separate)) {
		word_add(b, argv[i]);
		return i;
	}
	buf_printf(b, " --%.*s", (int)len, name);
	path_add(b, equals ? equals + 1 : argv[i + 1]);
	return separate ? i + 1 : i;
}

void restart_command(char *out, size_t size, int argc, char **argv)
{
	char program[PATH_MAX] = "";
	struct buf b = {0};

	if (getenv("INVOCATION_ID")) { /* systemd started us, and will again */
		str_copy(out, size, "systemctl restart bothways-agent");
		return;
	}
	if (readlink("/proc/self/exe", program, sizeof program - 1) < 0)
		str_copy(program, sizeof program, "bothways-agent");
	buf_puts(&b, "setsid");
	word_add(&b, program);
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--", 2) == 0)
			i = option_add(&b, argc, argv, i);
		else
			word_add(&b, argv[i]);
	}
	buf_puts(&b, " </dev/null >/dev/null 2>&1 &");
	if (str_copy(out, size, b.data) < 0)
		out[0] = '\0';
	buf_free(&b);
}
