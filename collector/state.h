/* state: the collector's directory: made with mode 0700, locked against a second collector, with its keys. */
#ifndef BW_COLLECTOR_STATE_H
#define BW_COLLECTOR_STATE_H

#include "proto/keys.h"

#include <stddef.h>

#define STATE_LOCK   "lock"
#define STATE_SOCKET "query.sock"

/* Makes the directory when it is not there, and takes its lock: a descriptor to keep open, or -1 and the reason. */
int state_open(const char *dir, struct err *e);
/* collector.key, made at the first start. */
int state_key(const char *dir, struct keypair *out, struct err *e);
/* admin.key, made at the first start, its endpoint brought up to date; *pub is what the store must know. */
int state_admin(const char *dir, const struct keypair *collector, const char *advertise, uint8_t pub[static KEY_LEN],
                struct err *e);
/* "ipc://DIR/query.sock"; -1 when the path is too long for a unix socket. */
int state_socket(const char *dir, char *out, size_t size, struct err *e);

#endif
