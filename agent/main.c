/* bothways-agent: the story of its start, in order; its end is the same in reverse. */
#include "agent/agent.h"
#include "agent/backlog.h"
#include "agent/child.h"
#include "agent/facts/ovs.h"
#include "agent/facts/platform.h"
#include "agent/oob.h"
#include "agent/priv.h"
#include "agent/relay.h"
#include "agent/report.h"
#include "agent/restart.h"
#include "agent/rounds.h"
#include "agent/trim.h"
#include "agent/uplink.h"
#include "proto/base/log.h"
#include "proto/conf.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PORT_TRIES    10
#define STARTED_US    5000000 /* until what starting needed can go */
#define PORT_PAUSE_US 300000  /* whoever we replace may still hold the port */

static const struct option_info options[] = {
    {"state", "DIR", "where the agent keeps its key (made when absent)", false},
    {"join", "TOKEN", "join a fleet; needed once", false},
    {"name", "NAME", "name to ask for when joining (default: the host name)", false},
    {"collector", "tcp://ADDR:PORT", "connect there, whatever the token says", false},
    {"oob", "PATH|vsock:PORT", "guest: stream to the host's agent: a virtio-serial device, a unix socket to make, or vsock", false},
    {"relay-dir", "DIR", "host: directory with the guests' sockets", false},
    {"relay-vsock", "PORT", "host: take the guests' vsock connections on this port", false},
    {"ovs-rundir", "DIR", "host: directory with the sockets of Open vSwitch (default " OVS_RUNDIR ")", false},
    {"platform-facts", "FILE", "what a platform or switches have configured, in YAML or JSON; read again when it changes", true},
    {"platform-root", "DIR", "host: where run/libvirt, etc/libvirt and etc/pve are looked for (default /; none = nowhere)", false},
    {"probe-port", "N", "UDP and TCP port for probes (default 7401)", false},
    {"probe-interfaces", "A,B", "probe on these interfaces only (default: chosen)", false},
    {"service", "PORT[=COMMAND]", "a TCP service this machine offers, to be probed too, and what starts it", true},
    {"rule-trace", "on|off", "trace a round's own packets through nftables to name the rule that drops them (default on)", false},
    {"config", "FILE", "YAML file with the same options", false},
    {"check-config", NULL, "print what was understood, and exit", false},
    {"help", NULL, "print this, and exit", false},
    {"version", NULL, "print the version, and exit", false},
    {"protocol-version", "N", NULL, false}, /* for tests: pretend to be older or newer */
};
#define OPTION_COUNT (sizeof options / sizeof *options)

/* ---- what we were told ---- */

static int number_parse(const char *option, const char *text, long max, long *out, struct err *e)
{
	char *end;

	*out = strtol(text, &end, 10);
	if (*text == '\0' || *end || *out < 1 || *out > max)
		return err_set(e, "--%s %s: a number from 1 to %ld is expected", option, text, max);
	return 0;
}

/* PORT or PORT=COMMAND */
static int service_parse(struct agent_setup *s, const char *text, struct err *e)
{
	char number[8];
	size_t len = strcspn(text, "=");
	const char *start = text[len] ? text + len + 1 : "";
	long port;

	if (len >= sizeof number)
		return err_set(e, "--service %s: a port number is expected first", text);
	memcpy(number, text, len);
	number[len] = '\0';
	if (number_parse("service", number, 65535, &port, e) < 0)
		return -1;
	if (str_copy(s->starts[s->service_count], SERVICE_START_MAX, start) < 0)
		return err_set(e, "--service %ld: the command is longer than %d characters", port, SERVICE_START_MAX - 1);
	s->services[s->service_count++] = (uint16_t)port;
	return 0;
}

static int services_parse(struct agent_setup *s, const struct options *o, struct err *e)
{
	const char *texts[SERVICES_MAX + 1];
	size_t count = options_all(o, "service", texts, SERVICES_MAX + 1);

	if (count > SERVICES_MAX)
		return err_set(e, "--service: at most %d", SERVICES_MAX);
	for (size_t i = 0; i < count; i++)
		if (service_parse(s, texts[i], e) < 0)
			return -1;
	return 0;
}

static int versions_parse(struct agent_setup *s, const struct options *o, struct err *e)
{
	const char *text = options_get(o, "protocol-version");
	long version;

	s->version_min = PROTOCOL_VERSION_MIN;
	s->version_max = PROTOCOL_VERSION;
	if (!text)
		return 0;
	if (number_parse("protocol-version", text, 1000, &version, e) < 0)
		return -1;
	s->version_max = (uint32_t)version;
	/* a newer build accepts its predecessor, as this one does */
	s->version_min = version > 1 ? (uint32_t)version - 1 : 1;
	return 0;
}

static int trace_parse(struct agent_setup *s, const struct options *o, struct err *e)
{
	const char *text = options_get(o, "rule-trace");

	s->trace_rules = !text || strcmp(text, "on") == 0;
	if (text && !s->trace_rules && strcmp(text, "off") != 0)
		return err_set(e, "--rule-trace %s: on or off is expected", text);
	return 0;
}

static const char *text_or_empty(const struct options *o, const char *name)
{
	const char *text = options_get(o, name);

	return text ? text : "";
}

/* As the tools of Open vSwitch find it. */
static const char *ovs_dir(const struct options *o)
{
	const char *option = options_get(o, "ovs-rundir"), *from_env = getenv("OVS_RUNDIR");

	return option ? option : from_env && *from_env ? from_env : OVS_RUNDIR;
}

static int setup_read(struct agent_setup *s, const struct options *o, int argc, char **argv, struct err *e)
{
	const char *port = options_get(o, "probe-port"), *endpoint = options_get(o, "collector");
	const char *vsock = options_get(o, "relay-vsock");
	long number = PROBE_PORT_DEFAULT;

	*s = (struct agent_setup){0};
	s->name = text_or_empty(o, "name");
	s->probe_ifs = text_or_empty(o, "probe-interfaces");
	s->oob = options_get(o, "oob");
	s->relay_dir = options_get(o, "relay-dir");
	s->ovs_dir = ovs_dir(o);
	s->platform_root = text_or_empty(o, "platform-root");
	s->platform_count =
	    options_all(o, "platform-facts", s->platform_facts, sizeof s->platform_facts / sizeof *s->platform_facts);
	if (o->first_arg < argc)
		return err_set(e, "unexpected argument \"%s\" (see --help)", argv[o->first_arg]);
	if (!options_has(o, "state"))
		return err_set(e, "--state DIR is needed (see --help)");
	if (strlen(s->name) >= NAME_MAX_LEN)
		return err_set(e, "--name: at most %d characters", NAME_MAX_LEN - 1);
	if (strlen(s->probe_ifs) >= sizeof((struct msg_hello *)0)->probe_ifs)
		return err_set(e, "--probe-interfaces: too many");
	if (port && number_parse("probe-port", port, 65535, &number, e) < 0)
		return -1;
	s->probe_port = (uint16_t)number;
	if (vsock && number_parse("relay-vsock", vsock, UINT32_MAX - 1, &number, e) < 0)
		return -1;
	s->relay_vsock = vsock ? (uint32_t)number : 0;
	if (endpoint && endpoint_check(endpoint, e) < 0)
		return err_prefix(e, "--collector");
	if (trace_parse(s, o, e) < 0 || services_parse(s, o, e) < 0)
		return -1;
	return versions_parse(s, o, e);
}

/* ---- start and end ---- */

static void stopped(void *arg)
{
	struct agent *a = arg;

	loop_stop(a->loop, 0);
}

static int prober_start(struct agent *a, struct err *e)
{
	for (int i = 0; i < PORT_TRIES; i++) {
		a->prober = prober_new(a->loop, a->watch, a->setup.probe_port, e);
		if (a->prober)
			return 0;
		usleep(PORT_PAUSE_US);
	}
	return -1;
}

static int agent_start(struct agent *a, const struct options *o, struct err *e)
{
	if (identity_open(&a->id, options_get(o, "state"), options_get(o, "join"), options_get(o, "collector"), e) < 0)
		return -1;
	a->loop = loop_new();
	loop_signal(a->loop, SIGTERM, stopped, a);
	loop_signal(a->loop, SIGINT, stopped, a);
	child_watch(a->loop);
	if (a->setup.oob && !(a->oob = oob_new(a->loop, a->setup.oob, e)))
		return -1;
	/* before the first ZeroMQ context: capabilities belong to threads */
	if (priv_drop(&a->setup, e) < 0)
		return -1;
	ovs_use(a->setup.ovs_dir);
	platform_use(a->setup.platform_root, a->setup.platform_facts, a->setup.platform_count);
	a->boot = keys_random64();
	a->watch = watch_new(keys_random64());
	if (prober_start(a, e) < 0)
		return -1;
	a->spool = spool_new(SPOOL_BYTES_MAX);
	a->backlog = backlog_load(a->id.dir);
	a->rounds = rounds_new(a);
	a->report = report_new(a, e);
	if (a->setup.relay_dir || a->setup.relay_vsock)
		a->relay = relay_new(a, a->setup.relay_dir, a->setup.relay_vsock);
	a->uplink = uplink_new(a, e);
	return a->uplink ? 0 : -1;
}

/* What nobody has acknowledged waits for the next start. */
static void reports_keep(struct agent *a)
{
	struct err e = {""};

	if (a->id.joined && a->spool && a->backlog && backlog_save(a->backlog, a->id.dir, a->boot, a->spool, &e) < 0)
		log_warn("reports that are not delivered yet are lost: %s", e.text);
}

static void agent_finish(struct agent *a)
{
	relay_free(a->relay);
	uplink_free(a->uplink);
	a->uplink = NULL;
	report_free(a->report);
	rounds_free(a->rounds);
	reports_keep(a);
	backlog_free(a->backlog);
	spool_free(a->spool);
	prober_free(a->prober);
	watch_free(a->watch);
	oob_free(a->oob);
	child_watch(NULL);
	loop_free(a->loop);
	identity_close(&a->id);
}

static void started(void *arg)
{
	(void)arg;
	trim_memory();
}

static int agent_run(struct agent *a, const struct options *o)
{
	struct err e = {""};
	int result = 1;

	trim_memory(); /* what loading the libraries touched */
	if (agent_start(a, o, &e) == 0) {
		log_info("version %s, probes on port %u, collector %s", BOTHWAYS_VERSION, prober_port(a->prober), a->id.endpoint);
		loop_timer_arm(loop_timer(a->loop, started, a), STARTED_US);
		result = loop_run(a->loop);
	} else {
		log_error("%s", e.text);
	}
	agent_finish(a);
	return result;
}

/* A token is a secret, and what is printed here ends up in tickets. */
static void config_print(struct options *o)
{
	for (size_t i = 0; i < o->count; i++) {
		if (strcmp(o->items[i].name, "join") == 0) {
			free(o->items[i].value);
			o->items[i].value = mem_strdup("(a token)");
		}
	}
	options_print(o, stdout);
}

static void help_print(void)
{
	printf("usage: bothways-agent --state DIR --join TOKEN [OPTION...]     the first time\n"
	       "       bothways-agent --state DIR [OPTION...]                  from then on\n\n");
	options_help(options, OPTION_COUNT, stdout);
}

int main(int argc, char **argv)
{
	static struct agent agent; /* zeroed */
	struct options o;
	struct err e = {""};
	int result = 0;

	log_open("bothways-agent", LOG_LEVEL_INFO);
	mallopt(M_ARENA_MAX, 1); /* two small threads need no heap of their own */
	if (keys_init() < 0 || options_parse(&o, options, OPTION_COUNT, argc, argv, &e) < 0) {
		log_error("%s", e.text[0] ? e.text : "no source of randomness");
		return 1;
	}
	if (options_has(&o, "help")) {
		help_print();
	} else if (options_has(&o, "version")) {
		printf("bothways-agent %s (protocol %d)\n", BOTHWAYS_VERSION, PROTOCOL_VERSION);
	} else if (setup_read(&agent.setup, &o, argc, argv, &e) < 0) {
		log_error("%s", e.text);
		result = 1;
	} else if (options_has(&o, "check-config")) {
		config_print(&o);
	} else {
		restart_command(agent.setup.restart, sizeof agent.setup.restart, argc, argv);
		result = agent_run(&agent, &o);
	}
	options_free(&o);
	return result;
}
