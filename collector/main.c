/* bothways-collector: the start-up story. Options, state directory, keys, the collector, the loop; and back in reverse. */
#include "collector/collector.h"
#include "collector/state.h"
#include "proto/base/log.h"
#include "proto/conf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LISTEN_DEFAULT "tcp://0.0.0.0:7400"
#define HTTP_DEFAULT   "127.0.0.1:7480"

static const struct option_info OPTIONS[] = {
    {"state", "DIR", "directory for keys and the store; made when it is not there (needed)", false},
    {"listen", "tcp://ADDR:PORT", "where agents and remote CLIs connect (default " LISTEN_DEFAULT ")", true},
    {"advertise", "tcp://ADDR:PORT", "the address tokens carry (default: the one to listen on, or this machine's own)", false},
    {"http", "ADDR:PORT", "read-only HTTP: API, metrics, page; or none (default " HTTP_DEFAULT ")", false},
    {"platform-facts", "FILE", "what platforms and switches have configured, in YAML or JSON; read again when it changes", true},
    {"catalogue", "FILE", "catalogue of causes to use instead of the compiled-in one", false},
    {"config", "FILE", "YAML file with any of these options", false},
    {"check-config", NULL, "print what was understood and exit", false},
    {"verbose", NULL, "log more", false},
    {"help", NULL, "print this and exit", false},
    {"version", NULL, "print the version and exit", false},
};
#define OPTION_COUNT (sizeof OPTIONS / sizeof *OPTIONS)

static int fail(const struct err *e)
{
	log_error("%s", e->text);
	return 1;
}

static void print_help(void)
{
	puts("usage: bothways-collector --state DIR [OPTION...]\n\nThe central daemon: registry, plan, detection, diagnosis, store "
	     "and API.\n");
	options_help(OPTIONS, OPTION_COUNT, stdout);
}

/* The address this machine would speak from: connecting a datagram socket sends nothing. */
static void own_address(char *out, socklen_t size)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)}, own;
	socklen_t len = sizeof own;
	inet_pton(AF_INET, "192.0.2.1", &to.sin_addr); /* RFC 5737: stands for "somewhere else" */
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	str_copy(out, size, "127.0.0.1");
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0 && getsockname(fd, (struct sockaddr *)&own, &len) == 0)
		inet_ntop(AF_INET, &own.sin_addr, out, size);
	if (fd >= 0)
		close(fd);
}

static void default_advertise(const char *listen, char *out, size_t size)
{
	static const char *const ANY[] = {"tcp://0.0.0.0:", "tcp://*:", "tcp://[::]:"};
	char own[INET_ADDRSTRLEN];
	str_copy(out, size, listen);
	for (size_t i = 0; i < sizeof ANY / sizeof *ANY; i++)
		if (strncmp(listen, ANY[i], strlen(ANY[i])) == 0) {
			own_address(own, sizeof own);
			snprintf(out, size, "tcp://%s:%s", own, listen + strlen(ANY[i]));
		}
}

/* Options as the collector wants them; every string lives as long as the options do, `advertise` as long as its buffer. */
static int take_options(const struct options *o, struct collector_setup *setup, char advertise[static ENDPOINT_MAX], struct err *e)
{
	setup->dir = options_get(o, "state");
	setup->catalogue = options_get(o, "catalogue");
	setup->http = options_get(o, "http") ? options_get(o, "http") : HTTP_DEFAULT;
	if (strcmp(setup->http, "none") == 0)
		setup->http = NULL;
	setup->listen_count = options_all(o, "listen", setup->listen, sizeof setup->listen / sizeof *setup->listen);
	setup->platform_count =
	    options_all(o, "platform-facts", setup->platform_facts, sizeof setup->platform_facts / sizeof *setup->platform_facts);
	if (!setup->listen_count)
		setup->listen[setup->listen_count++] = LISTEN_DEFAULT;
	if (options_get(o, "advertise"))
		str_copy(advertise, ENDPOINT_MAX, options_get(o, "advertise"));
	else
		default_advertise(setup->listen[0], advertise, ENDPOINT_MAX);
	setup->advertise = advertise;
	if (!setup->dir || !*setup->dir)
		return err_set(e, "--state DIR is missing (see --help)");
	for (size_t i = 0; i < setup->listen_count; i++)
		if (endpoint_check(setup->listen[i], e))
			return err_prefix(e, "--listen");
	return endpoint_check(advertise, e) ? err_prefix(e, "--advertise") : 0;
}

/* One descriptor per agent and relay: the soft limit is often far below what the machine allows. */
static void raise_file_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void on_stop(void *arg) { loop_stop(arg, 0); }

static int serve(const struct collector_setup *setup, struct err *e)
{
	struct collector *c = mem_alloc(sizeof *c);
	int rc = -1;
	if (!collector_open(c, setup, e)) {
		struct loop_source *term = loop_signal(c->loop, SIGTERM, on_stop, c->loop),
		                   *intr = loop_signal(c->loop, SIGINT, on_stop, c->loop);
		log_info("version " BOTHWAYS_VERSION ", listening on %s, tokens carry %s, http on %s", setup->listen[0],
		         setup->advertise, setup->http ? setup->http : "nothing");
		rc = loop_run(c->loop);
		loop_remove(term);
		loop_remove(intr);
	}
	collector_close(c);
	free(c);
	return rc;
}

static int run(const struct options *o, struct err *e)
{
	struct collector_setup setup = {0};
	char advertise[ENDPOINT_MAX];
	signal(SIGPIPE, SIG_IGN);
	raise_file_limit();
	if (keys_init())
		return err_set(e, "no random numbers: libsodium does not start");
	if (take_options(o, &setup, advertise, e))
		return -1;
	int lock = state_open(setup.dir, e);
	if (lock < 0)
		return -1;
	umask(077); /* SQLite, sockets: nothing of ours is for others */
	int rc = -1;
	if (!state_key(setup.dir, &setup.key, e) && !state_admin(setup.dir, &setup.key, setup.advertise, setup.admin, e))
		rc = serve(&setup, e);
	close(lock);
	return rc;
}

int main(int argc, char **argv)
{
	struct options o = {0};
	struct err e = {0};
	log_open("bothways-collector", LOG_LEVEL_INFO);
	if (options_parse(&o, OPTIONS, OPTION_COUNT, argc, argv, &e))
		return fail(&e);
	if (options_has(&o, "help")) {
		print_help();
		return 0;
	}
	if (options_has(&o, "version")) {
		puts("bothways-collector " BOTHWAYS_VERSION);
		return 0;
	}
	if (o.first_arg < argc) {
		err_set(&e, "what is \"%s\"? Only options are expected (see --help)", argv[o.first_arg]);
		return fail(&e);
	}
	if (options_has(&o, "check-config")) {
		struct collector_setup setup = {0};
		char advertise[ENDPOINT_MAX];
		if (take_options(&o, &setup, advertise, &e))
			return fail(&e);
		options_print(&o, stdout);
		return 0;
	}
	if (options_has(&o, "verbose"))
		log_open("bothways-collector", LOG_LEVEL_DEBUG);
	int rc = run(&o, &e) ? fail(&e) : 0;
	options_free(&o);
	return rc;
}
