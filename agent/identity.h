/* identity: the state directory and who we are by it: our key file, or the token to get one with. */
#ifndef BW_AGENT_IDENTITY_H
#define BW_AGENT_IDENTITY_H

#include "proto/base/err.h"
#include "proto/keys.h"
#include "proto/wire.h"

struct identity {
	char *dir;          /* absolute */
	int lock;           /* held while we run */
	struct keyfile key; /* ours: made before joining, has a name when `joined` */
	bool joined;
	bool has_token;
	struct token token;
	struct keypair token_pair;
	char endpoint[ENDPOINT_MAX]; /* of the collector, to connect to */
};

/* Makes the directory when absent, locks it, reads or makes the key. `token` and `endpoint` (override) may be NULL. A token
 * of the collector we already joined is kept only for the case that it refuses our key. */
int identity_open(struct identity *id, const char *dir, const char *token, const char *endpoint, struct err *e);
/* The key pair to show now: the token's while joining, else our own; and the key the collector must hold. */
const struct keypair *identity_pair(const struct identity *id);
const uint8_t *identity_collector(const struct identity *id);
/* The collector took us in: writes the key file; from now on our own key is shown. */
int identity_joined(struct identity *id, const struct msg_joined *m, struct err *e);
/* Our key was refused and there is a token: join (again) with it. False if there is none. */
bool identity_rejoin(struct identity *id);
void identity_close(struct identity *id);

#endif
