/* bothways: the command line. One question to the collector, one answer; exit codes by the contract: 0 healthy or done, 2 a
 * problem, 3 undetermined, 1 could not do it. */
#include "collector/cli/commands.h"

#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_DEFAULT "/var/lib/bothways/collector"

static const struct option_info OPTIONS[] = {
    {"state", "DIR", "the collector's state directory, on the same machine (default " STATE_DEFAULT ")", false},
    {"collector", "ENDPOINT", "a collector elsewhere, tcp://ADDR:PORT", false},
    {"key", "FILE", "key file to show it (its endpoint is used when --collector is not given)", false},
    {"json", NULL, "print the answer as one JSON document", false},
    {"help", NULL, "print this and exit", false},
    {"version", NULL, "print the version and exit", false},
};
#define OPTION_COUNT (sizeof OPTIONS / sizeof *OPTIONS)

static void print_help(void)
{
	puts("usage: bothways [--state DIR | --collector ENDPOINT --key FILE] [--json] COMMAND ...\n\n"
	     "Which direction lost the packet, at which hop, why, and what fixes it.\n\ncommands:");
	commands_help(stdout);
	puts("\noptions:");
	options_help(OPTIONS, OPTION_COUNT, stdout);
	puts("\nexit: 0 healthy or done, 2 a problem was found, 3 undetermined, 1 could not do it (stderr says why)");
}

static int connect_remote(struct cli *c, const struct options *o, struct err *e)
{
	const char *key = options_get(o, "key"), *endpoint = options_get(o, "collector");
	if (!key)
		return err_set(e, "--collector needs --key FILE");
	if (keyfile_read(key, &c->key, e))
		return -1;
	c->endpoint = mem_strdup(endpoint ? endpoint : c->key.endpoint);
	return endpoint_check(c->endpoint, e);
}

static int connect_local(struct cli *c, const struct options *o, struct err *e)
{
	const char *dir = options_get(o, "state") ? options_get(o, "state") : STATE_DEFAULT;
	char *key = mem_printf("%s/admin.key", dir);
	int rc = keyfile_read(key, &c->key, e);
	free(key);
	c->endpoint = mem_printf("ipc://%s/query.sock", dir);
	return rc;
}

static void find_collector(struct cli *c, const struct options *o)
{
	free(c->endpoint);
	c->endpoint = NULL;
	c->trouble.text[0] = '\0';
	if (options_has(o, "collector") || options_has(o, "key"))
		connect_remote(c, o, &c->trouble);
	else
		connect_local(c, o, &c->trouble);
}

static int run(const struct options *o, int argc, char **argv, struct err *e)
{
	struct cli c = {.json = options_has(o, "json"), .connect = find_collector, .options = o};
	if (keys_init()) {
		err_set(e, "no random numbers: libsodium does not start");
		return 1;
	}
	if (options_has(o, "state") && options_has(o, "collector")) {
		err_set(e, "--state and --collector are two ways to the same thing: give one of them");
		return 1;
	}
	if (argc == 0) {
		err_set(e, "which command? (bothways --help lists them)");
		return 1;
	}
	int code = command_run(&c, argc, argv, e);
	free(c.endpoint);
	memset(&c.key, 0, sizeof c.key);
	return code;
}

int main(int argc, char **argv)
{
	struct options o = {0};
	struct err e = {0};
	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_DFL);
	log_open("bothways", LOG_LEVEL_ERROR);
	if (options_parse(&o, OPTIONS, OPTION_COUNT, argc, argv, &e)) {
		fprintf(stderr, "bothways: %s\n", e.text);
		return 1;
	}
	int code = 0;
	if (options_has(&o, "help"))
		print_help();
	else if (options_has(&o, "version"))
		puts("bothways " BOTHWAYS_VERSION);
	else
		code = run(&o, argc - o.first_arg, argv + o.first_arg, &e);
	if (code == 1)
		fprintf(stderr, "bothways: %s\n", e.text);
	if (fflush(stdout) || ferror(stdout))
		code = 1;
	options_free(&o);
	return code;
}
