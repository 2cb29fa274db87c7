/* keys: CURVE key pairs, key files, tokens, and sealing of relayed frames. The only file pair that meets libsodium. */
#ifndef BW_KEYS_H
#define BW_KEYS_H

#include "proto/base/err.h"
#include "proto/base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef KEY_LEN
#define KEY_LEN 32 /* Curve25519 */
#endif
#define KEY_TEXT_MAX   65 /* hex */
#define TOKEN_TEXT_MAX 512
#define ENDPOINT_MAX   128

struct keypair {
	uint8_t pub[KEY_LEN], sec[KEY_LEN];
};

int keys_init(void); /* once per program, before anything else here */
void keypair_make(struct keypair *k);
void keys_random(void *out, size_t len);
uint64_t keys_random64(void);
const char *key_hex(const uint8_t key[static KEY_LEN], char out[static KEY_TEXT_MAX]);
int key_from_hex(const char *text, uint8_t out[static KEY_LEN]);

/* A key file: mode 0600, `name: value` lines (YAML). Written atomically. */
struct keyfile {
	struct keypair pair;
	char role[32];               /* "agent" "admin" "operator" "tenant" "viewer" "collector" */
	char endpoint[ENDPOINT_MAX]; /* of the collector, "" in its own file */
	uint8_t collector[KEY_LEN];  /* its public key */
	char name[64], tenant[64];
};
/* The error names the file and what is wrong: absent, unreadable, readable by others, malformed line N. */
int keyfile_read(const char *path, struct keyfile *out, struct err *e);
int keyfile_write(const char *path, const struct keyfile *k, struct err *e);

/* A token: "bw1." and base64url. It carries the collector's endpoint and public key and 32 secret bytes. The key pair
 * used for joining derives from the secret, so the secret itself never travels; the collector stores the public half. */
struct token {
	char endpoint[ENDPOINT_MAX];
	uint8_t collector[KEY_LEN];
	uint8_t secret[KEY_LEN];
};
void token_make(struct token *t, const char *endpoint, const uint8_t collector[static KEY_LEN]);
int token_format(const struct token *t, char out[static TOKEN_TEXT_MAX]);
int token_parse(const char *text, struct token *out, struct err *e);
void token_keypair(const struct token *t, struct keypair *out);

/* ---- sealing: what libsodium calls crypto_box. proto/sealed.h makes sessions over a relay of it ----
 * Sealed bytes: 24-byte nonce | box. The nonce is session (15) | 1 if the guest sends, else 0 | counter (8, big endian);
 * the receiver accepts only rising counters of the current session. */
#define SEAL_SESSION_LEN 15
struct seal {
	uint8_t shared[KEY_LEN]; /* crypto_box_beforenm */
	uint8_t session[SEAL_SESSION_LEN];
	bool guest;          /* our side */
	uint64_t sent, seen; /* counters */
};
#define SEAL_OVERHEAD (24 + 16)
/* Guest side starts a session with a fresh random id. */
void seal_start(struct seal *s, const struct keypair *own, const uint8_t other[static KEY_LEN]);
/* Collector side adopts the session named in the guest's first frame; false if the frame does not open. The frame is then
 * still to be opened with seal_open like all others. */
bool seal_accept(struct seal *s, const struct keypair *own, const uint8_t other[static KEY_LEN], const void *frame, size_t len);
void seal_close(struct seal *s, const void *data, size_t len, struct buf *out); /* encrypts, appends */
bool seal_open(struct seal *s, const void *frame, size_t len, struct buf *out); /* decrypts, checks, appends */
/* Both go on under another session id, agreed within the first one; counters start again. */
void seal_session(struct seal *s, const uint8_t session[static SEAL_SESSION_LEN]);

#endif
