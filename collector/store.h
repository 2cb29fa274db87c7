/* store: what must survive a restart. The embedded default is SQLite (store_sqlite.c); everything else knows only this header.
 * Reading answers at once. Writing is queued and made durable by store_flush in one transaction: whoever promises something to
 * an agent (an acknowledgement, a joined) does so after a flush that succeeded. A failed flush keeps the queue and may be tried
 * again. */
#ifndef BW_COLLECTOR_STORE_H
#define BW_COLLECTOR_STORE_H

#include "proto/base/err.h"
#include "proto/base/mono.h"
#include "proto/model/fact.h"
#include "proto/model/limits.h"
#include "proto/wire.h"

#define STORE_SCHEMA        2     /* of this build; an older one on disk is brought up to it, a newer one refused */
#define STORE_QUEUE_MAX     65536 /* writes waiting; a full queue takes no more, so nothing new is acknowledged */
#define STORE_VERDICTS_KEPT 200   /* per pair */
/* Records of rounds that found a problem: the oldest go first, those of open problems last. */
#define STORE_RECORDS_MAX       512
#define STORE_RECORDS_PAIR_MAX  32
#define STORE_RECORDS_BYTES_MAX (64 << 20)
#define STORE_RECORD_BYTES_MAX  (8 << 20)  /* of one */
#define STORE_RECORDS_WAITING   (16 << 20) /* not yet durable: while the disk is failing, further ones are not kept */
#define STORE_FEEDBACK_MAX      4096       /* of those that count */

struct store;

/* Opens or makes DIR/store.db. The error is one line: newer version, not writable, damaged, ... */
struct store *store_open(const char *dir, struct err *e);
/* Flushes once more, then closes. NULL is fine. */
void store_close(struct store *s);
int store_flush(struct store *s, struct err *e);
size_t store_waiting(const struct store *s); /* writes not yet durable */
bool store_full(const struct store *s);
/* When nothing waits: a write that changes nothing, to find out whether writing works again. */
void store_poke(struct store *s);
/* Drops what waits: for a caller that tells its client that it failed. */
void store_forget_waiting(struct store *s);

struct stored_agent {
	uint32_t id;
	char name[NAME_MAX_LEN], tenant[NAME_MAX_LEN];
	uint8_t kind;
	uint8_t key[KEY_LEN];
	uint64_t boot, applied; /* newest report number applied of that boot */
};
struct stored_token {
	uint8_t key[KEY_LEN]; /* public half */
	char tenant[NAME_MAX_LEN], name[NAME_MAX_LEN];
	uint8_t kind;
	struct wall expires;
	uint32_t uses_left;
};
struct stored_key { /* of a person's CLI */
	uint8_t key[KEY_LEN];
	char role[32], tenant[NAME_MAX_LEN]; /* tenant "" = all */
};
struct stored_verdict {
	uint64_t round;
	uint32_t a, b; /* agent ids */
	uint8_t state; /* enum state */
	struct wall at;
	const char *cause; /* id of the first, "" = none */
	const char *json;
	bool open; /* it is the pair's current one and says that something is wrong */
};

struct stored_record { /* bytes as they were put */
	uint64_t round;
	uint32_t a, b;
	struct wall at;
	size_t len;
	const void *data;
};
struct stored_feedback {
	int64_t number; /* given by the store */
	struct wall at;
	uint64_t round;
	char a[TITLE_MAX_LEN], b[TITLE_MAX_LEN];
	bool right;
	char said[NAME_MAX_LEN]; /* the verdict's cause, "" = none */
	char real[NAME_MAX_LEN]; /* what it really was, "" = nobody said */
	char role[32];           /* of who said it */
	bool undone;             /* counts no more */
};

typedef void store_agent_fn(void *arg, const struct stored_agent *a);
typedef void store_verdict_fn(void *arg, const struct stored_verdict *v);
typedef void store_change_fn(void *arg, uint32_t agent, const struct fact_change *c);
typedef void store_tenant_fn(void *arg, const char *name);
typedef void store_record_fn(void *arg, const struct stored_record *r);
typedef void store_feedback_fn(void *arg, const struct stored_feedback *f);

/* ---- reading; -1 and the reason when the database cannot be read ---- */
int store_agents(struct store *s, store_agent_fn *fn, void *arg, struct err *e);
int store_tenants(struct store *s, store_tenant_fn *fn, void *arg, struct err *e);
/* The pair's newest, whichever way round it was asked; `fn` is not called when there is none. */
int store_last_verdict(struct store *s, uint32_t a, uint32_t b, store_verdict_fn *fn, void *arg, struct err *e);
/* The rounds whose number in hexadecimal begins so, newest first, at most `max`. */
int store_verdicts_like(struct store *s, const char *prefix, size_t max, store_verdict_fn *fn, void *arg, struct err *e);
int store_record(struct store *s, uint64_t round, store_record_fn *fn, void *arg, struct err *e); /* fn: only when it is there */
int store_feedback(struct store *s, store_feedback_fn *fn, void *arg, struct err *e);             /* in order of their numbers */
int store_open_verdicts(struct store *s, store_verdict_fn *fn, void *arg, struct err *e);
/* The newest `max` per agent, oldest first. */
int store_changes(struct store *s, size_t max, store_change_fn *fn, void *arg, struct err *e);
/* 1 found, 0 not, -1 error (counts as not found for whoever only asks whether a key is known). */
int store_token(struct store *s, const uint8_t key[static KEY_LEN], struct stored_token *out);
int store_key(struct store *s, const uint8_t key[static KEY_LEN], struct stored_key *out);

/* ---- writing; queued. -1 = the queue is full ---- */
int store_put_agent(struct store *s, const struct stored_agent *a, struct wall now);
int store_put_token(struct store *s, const struct stored_token *t, struct wall now); /* creates its tenant, too */
int store_put_key(struct store *s, const struct stored_key *k, struct wall now);
int store_spend_token(struct store *s, const uint8_t key[static KEY_LEN]);
int store_applied(struct store *s, uint32_t agent, uint64_t boot, uint64_t number);
int store_put_change(struct store *s, uint32_t agent, const struct fact_change *c);
/* An open one closes the pair's older ones. */
int store_put_verdict(struct store *s, const struct stored_verdict *v);
int store_close_verdict(struct store *s, uint32_t a, uint32_t b, struct wall now);
/* Copies the bytes; drops what is beyond the limits above. -1 also when it is too large itself, or too much waits. */
int store_put_record(struct store *s, const struct stored_record *r);
int store_put_feedback(struct store *s, const struct stored_feedback *f);
int store_undo_feedback(struct store *s, int64_t number, struct wall now);

#endif
