/* dossier: everything a verdict is made from, gathered by the collector for one pair and one round. Correlation adds
 * the directions (matrix, path, cuts); diagnosis reads all of it. A plain value, so that it can be replayed. */
#ifndef BW_MODEL_DOSSIER_H
#define BW_MODEL_DOSSIER_H

#include "proto/model/fact.h"
#include "proto/model/observation.h"
#include "proto/model/plan.h"
#include "proto/model/snapshot.h"
#include "proto/model/verdict.h"

enum agent_kind { AGENT_HOST, AGENT_GUEST };

/* Rights and features an agent reported; a bit unset = it cannot. */
#define RIGHT_RAW      1 /* raw and packet sockets */
#define RIGHT_CAPTURE  2
#define RIGHT_FIREWALL 4  /* may read the ruleset */
#define RIGHT_DROPS    8  /* kernel drop reasons */
#define RIGHT_ECHO     16 /* echo requests, if only by sockets for them */

/* Where a guest is plugged in, as far as known; kept while a fault hides it. */
struct placement {
	bool known;
	int host;                /* index into dossier.party, -1 = no agent on the host */
	char port[IFNAME_LEN];   /* host-side device of the guest's NIC: tap, veth, macvtap */
	char bridge[IFNAME_LEN]; /* "" when not bridged */
	char uplink[IFNAME_LEN]; /* port of that bridge towards the other side of the pair; "" = not known or same host */
	bool live;               /* seen now; false: remembered */
};

/* A TCP service a machine offers, and how it is started again. */
struct service {
	uint16_t port;
	char start[SERVICE_START_MAX]; /* a command, "" = not known */
};

/* One machine that takes part: a, b, their hosts, and witnesses. */
struct party {
	char name[TITLE_MAX_LEN] /* as people are told it */, tenant[NAME_MAX_LEN];
	uint8_t kind; /* enum agent_kind */
	uint32_t rights;
	bool online;       /* heard by any path within the last seconds */
	bool heard;        /* since the round began: it runs */
	bool lately;       /* so shortly before that its silence may be slowness */
	bool reported;     /* took part in this round */
	bool relayed;      /* last heard through its host, not directly */
	char restart[256]; /* command that starts its agent again, "" = not known */
	uint16_t probe_port;
	size_t service_count;
	struct service services[SERVICES_MAX];
	struct endpoint ep;                /* where it is probed in this pair */
	struct endpoint ep_last;           /* the last complete one, when an address has vanished; else equal to ep */
	const struct snapshot *before;     /* at the start of the round (or the last known), may be NULL */
	const struct snapshot *after;      /* at its end, may be NULL */
	const struct round_result *result; /* NULL = did not report */
	struct placement at;               /* guests; hosts: bridge and uplink of their probe endpoint, when it is on one */
	size_t change_count;
	const struct fact_change *changes; /* since the pair last was ok (or the last hour), newest last */
};

#define PARTIES_MAX 12
#define PARTY_A     0
#define PARTY_B     1

/* What the rest of the fleet says about one segment: fresh watch results of other pairs. */
struct witness {
	int from, to; /* party indexes, -1 when not a party */
	char from_name[TITLE_MAX_LEN], to_name[TITLE_MAX_LEN];
	uint8_t delivery[KIND_COUNT]; /* enum cell */
	uint8_t initiation[KIND_COUNT];
	bool same_host; /* both on one host */
};
#define WITNESSES_MAX 64

/* Who owns an address or a MAC, over the whole fleet and within the pair's own network only. */
struct owner {
	char agent[TITLE_MAX_LEN];
	char ifname[IFNAME_LEN];
	struct mac mac;
	struct prefix ip;  /* family 0 for a MAC without address */
	bool same_segment; /* as far as known on the L2 segment of the pair */
	bool host;         /* a host's agent, not a guest's */
	bool proxies;      /* that interface answers ARP for others (proxy_arp) */
	bool leased;       /* the address was given by DHCP or a router */
	char machine[20];  /* the machine's "machine.id", "" = not known */
};
#define OWNERS_MAX 256

/* A field that is added here (or in what stands above) goes into proto/dossier.proto and proto/wire_record.c, too: a test says so.
 */
struct dossier {
	uint64_t round;
	uint32_t round_seconds_ago;
	size_t party_count;
	struct party party[PARTIES_MAX]; /* [0] a, [1] b, then hosts and others */
	size_t flow_count;
	struct flow flows[ROUND_FLOWS_MAX];
	size_t point_count; /* which point id is which interface of which party */
	struct {
		uint8_t id;
		int party;
		char ifname[IFNAME_LEN];
		uint8_t role;
	} points[ROUND_POINTS_MAX * 4];
	kind_mask skipped[2];          /* kinds that cannot exist in a direction ... */
	char *skip_why[2][KIND_COUNT]; /* ... and why; owned */
	size_t path_count[2];          /* ordered points of each direction: index into points, -1 - party for a socket */
	int path[2][PATH_POINTS_MAX];
	bool path_complete[2];
	uint32_t usual_us[2]; /* round trip that the watch is used to, as each end measures it; 0 = not known */
	bool onlink;          /* both ends are known to share an L2 segment */
	size_t witness_count;
	struct witness witnesses[WITNESSES_MAX];
	size_t owner_count;
	struct owner owners[OWNERS_MAX];
	uint16_t service_port;
	const struct snapshot *imported; /* what the collector itself was told of platforms and switches; NULL = nothing */
	struct wall now;
};

/* The result of one flow by its sender / receiver; NULL = not reported. */
const struct flow_sent *dossier_sent(const struct dossier *d, uint8_t flow);
const struct flow_received *dossier_received(const struct dossier *d, uint8_t flow);
/* NULL = armed and saw nothing; *looked tells whether anybody looked there. */
const struct point_seen *dossier_seen(const struct dossier *d, uint8_t point, uint8_t flow, bool *looked);
/* When `party` saw the probes or answers of a timed flow at a point of its own, or TIMES_SOCKET; NULL = it did not. */
const struct flow_times *dossier_times(const struct dossier *d, int party, uint8_t point, uint8_t flow, uint8_t part);
int dossier_party(const struct dossier *d, const char *name); /* index or -1 */
/* The host of a party: itself when it is a host, the placement's host for a guest; -1 = not known. */
int dossier_host(const struct dossier *d, int party);
/* How far the wall clock of a party is ahead of the collector's. Its facts were read within the round: what is less than that may
 * last is not known, and 0. */
int64_t dossier_clock_apart_ms(const struct dossier *d, int party);
#define CLOCK_APART_MS 20000
void dossier_clear(struct dossier *d); /* frees skip_why only: the rest is lent */

#endif
