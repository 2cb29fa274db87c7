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

/* Progress documents while the answer is being made. */
typedef void client_progress_fn(void *arg, const char *json);

/* Connects, asks, waits for the final answer at most `seconds`. -1 and one line when there is none: unreachable (with the
 * endpoint and why), refused, silent. */
int client_ask(const char *endpoint, const struct keyfile *key, const struct msg_query *q, int seconds,
               client_progress_fn *progress, void *arg, struct answer *out, struct err *e);

#endif
