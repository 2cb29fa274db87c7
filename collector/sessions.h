/* sessions: who speaks with us and by which way. A channel is either a direct route of the bus or a sealed stream relayed by a
 * host's agent; everything above sees only members, tokens and CLI keys. Here are also the decisions whom to let in and the
 * bookkeeping of numbered reports: applied once, acknowledged after they are stored. */
#ifndef BW_COLLECTOR_SESSIONS_H
#define BW_COLLECTOR_SESSIONS_H

#include "collector/collector.h"

#define CHANNELS_MAX      65536 /* ways open at once */
#define RELAY_STREAMS_MAX 1024  /* of one host */
#define CHANNEL_IDLE_MS   30000 /* a way not heard of for so long is forgotten */
#define JOINS_PER_SECOND  100   /* of all together, with a burst of twice that */

struct channel;

struct sessions *sessions_new(struct collector *c);
void sessions_free(struct sessions *s);
/* What the store knows of an agent: its report numbers go on from there. */
void sessions_restore(struct sessions *s, const struct stored_agent *a);

bus_allow_fn sessions_allow;     /* arg: struct sessions */
bus_server_fn sessions_received; /* arg: struct sessions */

/* Sends to a member by the way it said hello on. -1 when there is none or its queue is full (counted). */
int sessions_send(struct sessions *s, const struct member *m, const struct msg *msg);
/* Answers on a channel that may be gone by now: it is named by id. */
int sessions_answer(struct sessions *s, uint64_t channel, const struct msg *msg);
/* After a successful flush: acknowledges what has become durable. */
void sessions_acknowledge(struct sessions *s);
/* Sends every agent in session the plan it does not have yet. */
void sessions_push_plans(struct sessions *s);
/* Forgets ways that fell silent. */
void sessions_tick(struct sessions *s, struct mono now);
/* Numbered reports of one agent since the collector's start. */
struct report_count {
	uint64_t applied, again; /* again: came again and were ignored */
	uint64_t missing;        /* the agent had to give them up */
	uint64_t boot, number;   /* the newest that was applied */
};
struct report_count sessions_reports(const struct sessions *s, const struct member *m);
size_t sessions_channels(const struct sessions *s);

/* ---- for join.c ---- */
uint64_t channel_id(const struct channel *ch);
const uint8_t *channel_key(const struct channel *ch);
/* The member joined and will come back with its own key. */
void join_handle(struct sessions *s, struct collector *c, struct channel *ch, const struct msg_join *join);
/* "[A-Za-z0-9][A-Za-z0-9._-]*", at most NAME_MAX_LEN - 1 bytes. */
bool name_is_valid(const char *name);

#endif
