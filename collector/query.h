/* query: the one path by which questions are answered, whoever asks: the CLI over the bus, HTTP, tests. A question is a command
 * with arguments ("--name=value" or plain), the answer one JSON document and an exit code by the contract. */
#ifndef BW_COLLECTOR_QUERY_H
#define BW_COLLECTOR_QUERY_H

#include "collector/collector.h"

struct json_t; /* jansson's */

struct asker {
	const char *role;   /* "admin" "operator" "tenant" "viewer" */
	const char *tenant; /* NULL = sees all */
};

/* Where an answer goes; a value, kept by whoever answers later. The channel may be gone by then. */
struct reply {
	struct collector *c;
	uint64_t channel;
	uint32_t id;
	char tenant[NAME_MAX_LEN]; /* of who asked: what is not theirs is left out; "" = sees all */
	void (*send)(void *arg, bool more, int exit_code, const char *json); /* when set, instead of the channel */
	void *arg;
};

void reply_send(const struct reply *r, bool more, int exit_code, const char *json);
/* The last answer, as far as whoever asked may see it. `doc` stays the caller's. */
void reply_document(const struct reply *r, int exit_code, const struct json_t *doc);
/* The next part of the file that was asked for, at most ANSWER_BLOB_MAX bytes; before the last answer. */
void reply_blob(const struct reply *r, const void *data, size_t len);
/* {"error": "..."} and exit code 1. */
void reply_error(const struct reply *r, const char *text);

/* Always replies at least once with more = false, at once or (diagnose) later. */
void query_run(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *reply);

/* ---- for the answers ---- */
const char *query_option(const struct msg_query *q, const char *name); /* NULL if not given */
const char *query_word(const struct msg_query *q, size_t i);           /* i-th plain argument, from 0; NULL if not given */

#endif
