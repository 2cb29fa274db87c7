/* agent: the one context of the daemon. Everything runs on one loop in one thread. */
#ifndef BW_AGENT_H
#define BW_AGENT_H

#include "agent/identity.h"
#include "agent/prober.h"
#include "agent/spool.h"
#include "agent/watch.h"
#include "proto/loop.h"
#include "proto/wire.h"

struct backlog;
struct oob;
struct relay;
struct report;
struct rounds;
struct uplink;

#define SPOOL_BYTES_MAX (1 << 20)

/* What the command line and the config file say; strings are lent by the options. */
struct agent_setup {
	const char *name;          /* wish, "" = choose from the host name */
	const char *oob;           /* NULL = none */
	const char *relay_dir;     /* NULL = none */
	uint32_t relay_vsock;      /* port, 0 = none */
	const char *ovs_dir;       /* of the sockets of Open vSwitch */
	const char *platform_root; /* where the files of libvirt and Proxmox begin, "" = / */
	const char *platform_facts[16];
	size_t platform_count;
	uint16_t probe_port;
	bool trace_rules; /* rounds may mark their packets for nftables tracing */
	const char *probe_ifs;
	size_t service_count;
	uint16_t services[SERVICES_MAX];
	char starts[SERVICES_MAX][SERVICE_START_MAX]; /* commands, "" = not known */
	uint32_t version_min, version_max;            /* of the protocol */
	char restart[256];                            /* command that starts this agent again */
};

struct agent {
	struct loop *loop;
	struct agent_setup setup;
	struct identity id;
	uint64_t boot; /* random per start: report numbers begin at 1 with it */
	struct oob *oob;
	struct watch *watch;
	struct prober *prober;
	struct spool *spool;
	struct backlog *backlog; /* what earlier runs left */
	struct report *report;
	struct rounds *rounds;
	struct relay *relay;
	struct uplink *uplink;
};

#endif
