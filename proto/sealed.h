/* sealed: one end of a session between a guest agent and the collector over a relay that can neither read nor forge nor
 * replay it. Pure but for randomness. The payloads made here travel as FRAME_DATA on the guest's stream and as MSG_RELAY_UP
 * and MSG_RELAY_DOWN between the host's agent and the collector. PROTOCOL.md, "The relay", has the bytes and the reasons.
 *
 *   guest                                        collector
 *   sealed_start -> payload            ------->  sealed_peer -> key (known? else sealed_refuse), sealed_accept -> payload
 *   sealed_read -> SEALED_READY        <-------
 *   sealed_write ...                   <------>  sealed_read -> SEALED_MESSAGE ... sealed_write
 */
#ifndef BW_SEALED_H
#define BW_SEALED_H

#include "proto/keys.h"
#include "proto/model/limits.h"

struct sealed {
	struct seal seal;
	bool ready;          /* messages may be written */
	bool proven;         /* collector: the guest has shown that it is not a recording (first message came) */
	struct buf assembly; /* parts of a message so far */
	uint64_t next_part;  /* counter the next part must have; 0 = no message begun */
	uint32_t bad;        /* payloads that did not open or did not fit */
	uint64_t lost;       /* payloads of the other end that never came, by their counters; the owner may set it to 0 */
};

enum sealed_event {
	SEALED_NOTHING, /* a part of a message, or something ignored (counted) */
	SEALED_READY,   /* guest: the collector answered; write now */
	SEALED_MESSAGE, /* `message` holds one whole message (wire.h) */
	SEALED_RESET,   /* guest: the collector does not know this session: start again (after a pause) */
	SEALED_REFUSED  /* guest: the collector does not know our key. Unproven: any relay can say so */
};

/* Receives one payload, at most RELAY_BYTES_MAX long; lent for the call. */
typedef void sealed_emit_fn(void *arg, const void *payload, size_t len);

/* Guest: begins a new session; emits its opening payload. Forgets the one before. */
void sealed_start(struct sealed *s, const struct keypair *own, const uint8_t collector[static KEY_LEN], sealed_emit_fn *emit,
                  void *arg);
/* Collector: is this payload an opening, and by whose (claimed) key? */
bool sealed_peer(const void *payload, size_t len, uint8_t key[static KEY_LEN]);
/* Collector: takes an opening; emits the answer. False if it does not open; `s` is then as it was. */
bool sealed_accept(struct sealed *s, const struct keypair *own, const void *payload, size_t len, sealed_emit_fn *emit, void *arg);
/* Collector: what to send for a payload of an unknown session, and for an opening with an unknown key. */
void sealed_reset(sealed_emit_fn *emit, void *arg);
void sealed_refuse(sealed_emit_fn *emit, void *arg);

/* `message` is cleared first. */
enum sealed_event sealed_read(struct sealed *s, const void *payload, size_t len, struct buf *message);
/* A message up to MSG_BYTES_MAX, as one or more payloads. -1 if not ready or too long. */
int sealed_write(struct sealed *s, const void *data, size_t len, sealed_emit_fn *emit, void *arg);
/* Frees what it owns and forgets all secrets; the struct itself is the caller's. */
void sealed_clear(struct sealed *s);

#endif
