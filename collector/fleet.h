/* fleet: PURE. Every agent that enrolled: who it is, when and how it was last heard, what it said of itself, what changed,
 * where it stands (endpoints), and on which port of which host a guest is plugged in (placement; remembered while a fault hides
 * it). */
#ifndef BW_COLLECTOR_FLEET_H
#define BW_COLLECTOR_FLEET_H

#include "collector/fitness.h"
#include "proto/model/dossier.h"
#include "proto/model/fact.h"
#include "proto/wire.h"

#define FLEET_CHANGES_MAX 256   /* newest kept per member */
#define FLEET_OFFLINE_MS  3000  /* not heard for so long = offline */
#define FLEET_SLOW_MS     10000 /* and for so long perhaps only slow: no proof that it does not run */

#define FLEET_WAY_MS 6000 /* an agent pings the path that stands by every other second */

enum heard_by { HEARD_NEVER, HEARD_DIRECT, HEARD_RELAY };

/* One of the paths an agent has to us, be it the one of its session or the one that stands by. */
struct way_heard {
	struct mono at; /* ns 0 = never */
	struct wall wall;
	uint32_t relay;            /* HEARD_RELAY: member id of the host */
	char stream[NAME_MAX_LEN]; /* what it calls the stream, "" = not known */
};

struct member {
	uint32_t id; /* dense, stable, from the store */
	char name[NAME_MAX_LEN], tenant[NAME_MAX_LEN];
	uint8_t kind; /* enum agent_kind */
	uint8_t key[KEY_LEN];
	enum heard_by heard_by;
	uint32_t relay;                         /* member id of the relaying host when HEARD_RELAY */
	struct way_heard ways[HEARD_RELAY + 1]; /* by enum heard_by */
	struct mono last_heard;                 /* ns 0 = never since start */
	struct wall last_heard_wall;
	bool online;
	struct msg_hello hello; /* of the current session; version 0 = none yet */
	struct health health;
	int64_t clock_apart_ms;    /* its wall clock is so far ahead of ours, as its last round shows; 0 = not known to be */
	struct fitness fitness;    /* of the last minute */
	struct snapshot *snapshot; /* newest, NULL = none yet; owned */
	struct facts facts;        /* of it */
	size_t change_count;
	struct fact_change changes[FLEET_CHANGES_MAX]; /* oldest first; strings owned */
	size_t endpoint_count;
	struct endpoint
	    endpoints[ENDPOINTS_MAX];        /* now: interfaces that may be probed (management left out, hello.probe_ifs obeyed) */
	struct endpoint last[ENDPOINTS_MAX]; /* the same ones, each address family as it last was there */
	uint64_t version;                    /* raised whenever endpoints or placement change: planner input */
};

struct fleet;
struct fleet *fleet_new(void);
void fleet_free(struct fleet *f);
/* `id` 0 = next free. The name must be unique within the tenant (checked by the caller through fleet_find). */
struct member *fleet_add(struct fleet *f, uint32_t id, const char *name, const char *tenant, uint8_t kind,
                         const uint8_t key[static KEY_LEN]);
void fleet_remove(struct fleet *f, struct member *m);
size_t fleet_count(const struct fleet *f);
struct member *fleet_at(const struct fleet *f, size_t i); /* by position, ordered by tenant and name */
struct member *fleet_by_id(const struct fleet *f, uint32_t id);
struct member *fleet_by_key(const struct fleet *f, const uint8_t key[static KEY_LEN]);
/* `name` or `tenant/name`; `tenant` limits what the caller may see (NULL = all). NULL and the reason when unknown or ambiguous
 * (lists the candidates). */
struct member *fleet_find(const struct fleet *f, const char *name, const char *tenant, struct err *e);
/* How people are told of it: its name, or tenant/name when another agent has the same name. fleet_find understands it. */
const char *fleet_title(const struct fleet *f, const struct member *m, char out[static TITLE_MAX_LEN]);
void fleet_heard(struct fleet *f, struct member *m, enum heard_by how, uint32_t relay, struct mono now, struct wall wall);
/* Something came by that path. */
void fleet_way(struct member *m, enum heard_by how, uint32_t relay, const char *stream, struct mono now, struct wall wall);
bool fleet_way_works(const struct member *m, enum heard_by how, struct mono now);
/* Marks members offline that were not heard; returns how many changed state. */
size_t fleet_tick(struct fleet *f, struct mono now);
/* Takes the snapshot; records what changed (not on the first one); updates endpoints and placements. Returns the number of changes.
 */
size_t fleet_snapshot(struct fleet *f, struct member *m, struct snapshot *s, struct wall now);
void fleet_hello(struct fleet *f, struct member *m, const struct msg_hello *h);

/* Where `guest` (its endpoint with that MAC) is plugged in. False = not known. `host` is lent. `live`: the FDB shows it now. */
struct place {
	struct member *host;
	char port[IFNAME_LEN], bridge[IFNAME_LEN];
	bool live;
};
bool fleet_place(const struct fleet *f, const struct member *guest, struct mac mac, struct place *out);
/* The uplink port of `bridge` on `host` towards `mac` (or towards the rest of the world), now or remembered. "" = none known. */
bool fleet_uplink(const struct fleet *f, const struct member *host, const char *bridge, struct mac towards,
                  char out[static IFNAME_LEN]);
/* Chooses the two endpoints for a pair: the guest's bridge on its host, the same segment, the same subnet, in that order.
 * *onlink: both are known to be on one L2 segment. False: no sensible endpoints (why in e). An endpoint whose address vanished
 * keeps its last one. */
bool fleet_endpoints(const struct fleet *f, const struct member *a, const struct member *b, struct endpoint *ep_a,
                     struct endpoint *ep_b, bool *onlink, struct err *e);
/* A guest and its own host, which share an interface (macvtap and its kind), so that the kernel keeps them apart: where the two
 * stand, for who asks why they do not reach each other. No pair is planned there. False: it is not so. */
bool fleet_endpoints_apart(const struct fleet *f, const struct member *a, const struct member *b, struct endpoint *ep_a,
                           struct endpoint *ep_b);
/* Kinds that make sense from `from` to `to` between these endpoints, and for the others the reason in why[kind] (NULL = planned, or
 * never planned: the service kinds). The texts are valid until the next call. */
kind_mask fleet_kinds(const struct member *from, const struct endpoint *ep_from, const struct member *to,
                      const struct endpoint *ep_to, bool onlink, const char *why[KIND_COUNT]);
/* Must probes of `from` be bound to its interface? So it is for a host towards a guest on one of its bridges, as tenants may
 * have the same addresses; but not where the host stands in the guest's networks with that interface only: packets of the guest may
 * come in by another device of the host (it answers ARP on each), and what is bound would not hear them. */
bool fleet_binds_device(const struct member *from, const struct endpoint *ep_from, const struct member *to,
                        const struct endpoint *ep_to, bool onlink);
/* Everybody who owns `ip` or `mac` (either may be unset) on the segment of `near` as far as known. */
size_t fleet_owners(const struct fleet *f, struct owner *out, size_t max, const struct member *near);

/* What the collector itself was told of platforms and switches; lent until the next call. NULL = nothing. */
void fleet_import(struct fleet *f, const struct snapshot *s);
const struct snapshot *fleet_imported(const struct fleet *f);

/* Kinds that `m` cannot see arriving for want of rights: its silence about them is no loss. */
kind_mask fleet_deaf_kinds(const struct member *m);

#endif
