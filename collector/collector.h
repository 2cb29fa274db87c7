/* collector: the one context of the daemon. Everything runs on one loop in one thread. */
#ifndef BW_COLLECTOR_H
#define BW_COLLECTOR_H

#include "collector/detect.h"
#include "collector/diagnose/diagnose.h"
#include "collector/fleet.h"
#include "collector/planner.h"
#include "collector/store.h"
#include "proto/bus.h"
#include "proto/digest.h"
#include "proto/loop.h"

struct sessions;
struct rounds;
struct http;
struct records;
struct feedback;
struct platform_files;

/* What only counts: shown by /metrics, never logged one by one. */
struct counters {
	uint64_t messages, malformed, unknown_key, limited, no_session;
	uint64_t reports, reports_again, reports_early, reports_gap, reports_missing, rows;
	uint64_t joins, joins_refused;
	uint64_t rounds_asked, rounds_automatic, rounds_failed;
	uint64_t verdicts[STATE_UNDETERMINED + 1];
	uint64_t queries, answers_too_large;
	uint64_t store_flushes, store_errors;
	uint64_t send_failed;
};

struct collector {
	struct loop *loop;
	struct bus_server *bus;
	struct keypair key;
	char advertise[ENDPOINT_MAX];
	struct store *store;
	bool store_ailing; /* the last flush failed: said once, and once when it is well again */
	struct fleet *fleet;
	struct planner *planner;
	bool plan_stale; /* the fleet changed since the last planner_update */
	struct detect *detect;
	struct catalogue *catalogue;
	struct buf catalogue_text; /* when it is not the compiled-in one */
	uint8_t catalogue_sum[DIGEST_LEN];
	struct records *records;
	struct feedback *feedback;
	struct sessions *sessions;
	struct rounds *rounds;
	struct http *http;
	struct platform_files *platforms; /* what was said of platforms and switches */
	struct loop_source *timers[5];
	struct mono started, fleet_looked;
	struct counters count;
};

struct collector_setup {
	const char *dir;       /* exists, is ours and locked */
	const char *catalogue; /* file, NULL = the compiled-in one */
	const char *advertise;
	const char *http; /* "ADDR:PORT", NULL = none */
	const char *listen[8];
	size_t listen_count;
	const char *platform_facts[16];
	size_t platform_count;
	struct keypair key;
	uint8_t admin[KEY_LEN]; /* public half of admin.key */
};

/* Everything up and listening, or -1 and one line. collector_close is fine either way. */
int collector_open(struct collector *c, const struct collector_setup *setup, struct err *e);
void collector_close(struct collector *c);
/* Makes queued writes durable and then sends the acknowledgements that waited for them. -1 = nothing was promised. */
int collector_commit(struct collector *c, struct err *e);
/* The member's plan, endpoints or placement may have changed. */
void collector_replan(struct collector *c);

#endif
