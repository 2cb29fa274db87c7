/* client: one question to the collector, one answer. */
#ifndef BW_CLI_CLIENT_H
#define BW_CLI_CLIENT_H

#include "proto/base/err.h"
#include "proto/keys.h"
#include "proto/wire.h"

struct answer {
	int exit_code;
	char *json; /* owned */
};

/* While the answer is being made: progress documents, and parts of a file, in order. Each may be NULL. */
struct client_hooks {
	void (*progress)(void *arg, const char *json);
	void (*blob)(void *arg, const void *data, size_t len);
	void *arg;
};

/* Connects, asks, waits for the final answer at most `seconds`. -1 and one line when there is none: unreachable (with the
 * endpoint and why), refused, silent. */
int client_ask(const char *endpoint, const struct keyfile *key, const struct msg_query *q, int seconds,
               const struct client_hooks *hooks, struct answer *out, struct err *e);

#endif
