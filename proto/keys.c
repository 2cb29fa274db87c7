#include "proto/keys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_PREFIX   "bw1."
#define TOKEN_RAW_MAX  (2 * KEY_LEN + ENDPOINT_MAX)
#define KEYFILE_MAX    4096
#define NONCE_LEN      crypto_box_NONCEBYTES
#define COUNTER_OFFSET 16

static_assert(KEY_LEN == crypto_box_PUBLICKEYBYTES && KEY_LEN == crypto_box_SECRETKEYBYTES && KEY_LEN == crypto_box_BEFORENMBYTES,
              "Curve25519 keys");
static_assert(SEAL_OVERHEAD == crypto_box_NONCEBYTES + crypto_box_MACBYTES, "sealing overhead");

int keys_init(void) { return sodium_init() < 0 ? -1 : 0; }

void keypair_make(struct keypair *k) { crypto_box_keypair(k->pub, k->sec); }

void keys_random(void *out, size_t len) { randombytes_buf(out, len); }

uint64_t keys_random64(void)
{
	uint64_t v;

	randombytes_buf(&v, sizeof v);
	return v;
}

const char *key_hex(const uint8_t key[static KEY_LEN], char out[static KEY_TEXT_MAX])
{
	return sodium_bin2hex(out, KEY_TEXT_MAX, key, KEY_LEN);
}

int key_from_hex(const char *text, uint8_t out[static KEY_LEN])
{
	uint8_t key[KEY_LEN];
	size_t len;

	if (strlen(text) != 2 * KEY_LEN || sodium_hex2bin(key, sizeof key, text, 2 * KEY_LEN, NULL, &len, NULL) < 0 ||
	    len != KEY_LEN)
		return -1;
	memcpy(out, key, KEY_LEN);
	return 0;
}

/* ---- key files ---- */

enum field_type { FIELD_TEXT, FIELD_KEY };
struct keyfile_field {
	const char *name;
	enum field_type type;
	size_t offset, size;
	bool required;
};
#define TEXT_FIELD(name, member)                                                                                                   \
	{                                                                                                                          \
		name, FIELD_TEXT, offsetof(struct keyfile, member), sizeof((struct keyfile *)0)->member, false                     \
	}
#define KEY_FIELD(name, member, required)                                                                                          \
	{                                                                                                                          \
		name, FIELD_KEY, offsetof(struct keyfile, member), KEY_LEN, required                                               \
	}

static const struct keyfile_field keyfile_fields[] = {
    TEXT_FIELD("role", role),
    TEXT_FIELD("name", name),
    TEXT_FIELD("tenant", tenant),
    TEXT_FIELD("endpoint", endpoint),
    KEY_FIELD("collector", collector, false),
    KEY_FIELD("public", pair.pub, true),
    KEY_FIELD("secret", pair.sec, true),
};
#define KEYFILE_FIELDS (sizeof keyfile_fields / sizeof *keyfile_fields)

static const struct keyfile_field *field_find(const char *name, size_t len, size_t *index)
{
	for (size_t i = 0; i < KEYFILE_FIELDS; i++) {
		if (strlen(keyfile_fields[i].name) == len && memcmp(keyfile_fields[i].name, name, len) == 0) {
			*index = i;
			return &keyfile_fields[i];
		}
	}
	return NULL;
}

static char *text_trim(char *s)
{
	size_t len;

	s += strspn(s, " \t");
	len = strlen(s);
	while (len && strchr(" \t\r", s[len - 1]))
		s[--len] = '\0';
	if (len >= 2 && s[0] == '"' && s[len - 1] == '"') {
		s[len - 1] = '\0';
		s++;
	}
	return s;
}

/* One `name: value` line into `out`; bit i of *have says that field i was given. Names of a newer version are skipped. */
static int keyfile_line(struct keyfile *out, char *line, unsigned *have)
{
	const struct keyfile_field *f;
	char *colon, *value;
	size_t i;

	line = text_trim(line);
	if (*line == '\0' || *line == '#')
		return 0;
	colon = strchr(line, ':');
	if (!colon)
		return -1;
	value = text_trim(colon + 1);
	f = field_find(line, (size_t)(colon - line), &i);
	if (!f)
		return 0;
	*have |= 1u << i;
	if (f->type == FIELD_KEY)
		return key_from_hex(value, (uint8_t *)out + f->offset);
	return str_copy((char *)out + f->offset, f->size, value);
}

static int keyfile_parse(char *text, const char *path, struct keyfile *out, struct err *e)
{
	unsigned have = 0;
	int number = 0;
	char *line;

	while ((line = strsep(&text, "\n"))) {
		number++;
		if (keyfile_line(out, line, &have) < 0)
			return err_set(e, "key file %s: line %d is malformed", path, number);
	}
	for (size_t i = 0; i < KEYFILE_FIELDS; i++)
		if (keyfile_fields[i].required && !(have & 1u << i))
			return err_set(e, "key file %s: no `%s` in it", path, keyfile_fields[i].name);
	return 0;
}

static int pair_check(const struct keypair *k)
{
	uint8_t pub[KEY_LEN];

	return crypto_scalarmult_base(pub, k->sec) == 0 && sodium_memcmp(pub, k->pub, KEY_LEN) == 0 ? 0 : -1;
}

/* The whole file into `text`, after looking who else may read it. */
static int keyfile_load(const char *path, char *text, struct err *e)
{
	struct stat st;
	ssize_t len;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return err_sys(e, "key file %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(e, "key file %s: not a regular file", path);
	}
	if (st.st_mode & 077) {
		close(fd);
		return err_set(e, "key file %s: others can read it (mode %04o); chmod 600 it", path, st.st_mode & 07777);
	}
	len = read(fd, text, KEYFILE_MAX);
	close(fd);
	if (len < 0)
		return err_sys(e, "key file %s", path);
	if (len == KEYFILE_MAX)
		return err_set(e, "key file %s: too long", path);
	text[len] = '\0';
	return 0;
}

int keyfile_read(const char *path, struct keyfile *out, struct err *e)
{
	struct keyfile k = {0};
	char text[KEYFILE_MAX + 1];
	int result = keyfile_load(path, text, e);

	if (result == 0)
		result = keyfile_parse(text, path, &k, e);
	if (result == 0 && pair_check(&k.pair) < 0)
		result = err_set(e, "key file %s: its public and secret key do not belong together", path);
	if (result == 0)
		*out = k;
	sodium_memzero(text, sizeof text);
	sodium_memzero(&k, sizeof k);
	return result;
}

static void keyfile_format(const struct keyfile *k, struct buf *out)
{
	static const uint8_t none[KEY_LEN];
	char hex[KEY_TEXT_MAX];

	for (size_t i = 0; i < KEYFILE_FIELDS; i++) {
		const struct keyfile_field *f = &keyfile_fields[i];
		const char *value = (const char *)k + f->offset;

		if (f->type == FIELD_KEY && memcmp(value, none, KEY_LEN) != 0)
			buf_printf(out, "%s: %s\n", f->name, key_hex((const uint8_t *)value, hex));
		if (f->type == FIELD_TEXT && *value)
			buf_printf(out, "%s: %s\n", f->name, value);
	}
	sodium_memzero(hex, sizeof hex);
}

static int file_put(int fd, const struct buf *b)
{
	size_t done = 0;

	while (done < b->len) {
		ssize_t n = write(fd, b->data + done, b->len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		done += (size_t)n;
	}
	return fsync(fd);
}

int keyfile_write(const char *path, const struct keyfile *k, struct err *e)
{
	char *temp = mem_printf("%s.new", path);
	struct buf text = {0};
	int fd, result;

	unlink(temp);
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	keyfile_format(k, &text);
	result = fd < 0 ? -1 : file_put(fd, &text);
	if (fd >= 0)
		result |= close(fd);
	if (result == 0)
		result = rename(temp, path);
	if (result != 0) {
		result = err_sys(e, "key file %s: cannot write", path);
		unlink(temp);
	}
	sodium_memzero(text.data, text.len);
	buf_free(&text);
	free(temp);
	return result;
}

/* ---- tokens ---- */

void token_make(struct token *t, const char *endpoint, const uint8_t collector[static KEY_LEN])
{
	*t = (struct token){0};
	str_copy(t->endpoint, sizeof t->endpoint, endpoint);
	memcpy(t->collector, collector, KEY_LEN);
	randombytes_buf(t->secret, KEY_LEN);
}

int token_format(const struct token *t, char out[static TOKEN_TEXT_MAX])
{
	uint8_t raw[TOKEN_RAW_MAX];
	size_t text = strlen(t->endpoint), prefix = sizeof TOKEN_PREFIX - 1;

	memcpy(raw, t->collector, KEY_LEN);
	memcpy(raw + KEY_LEN, t->secret, KEY_LEN);
	memcpy(raw + 2 * KEY_LEN, t->endpoint, text);
	memcpy(out, TOKEN_PREFIX, prefix);
	sodium_bin2base64(out + prefix, TOKEN_TEXT_MAX - prefix, raw, 2 * KEY_LEN + text, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	sodium_memzero(raw, sizeof raw);
	return 0;
}

int token_parse(const char *text, struct token *out, struct err *e)
{
	size_t prefix = sizeof TOKEN_PREFIX - 1, len, text_len = strnlen(text, TOKEN_TEXT_MAX);
	uint8_t raw[TOKEN_RAW_MAX - 1];

	if (strncmp(text, TOKEN_PREFIX, prefix) != 0)
		return err_set(e, "not a token: tokens begin with \"%s\"", TOKEN_PREFIX);
	if (text_len == TOKEN_TEXT_MAX || sodium_base642bin(raw, sizeof raw, text + prefix, text_len - prefix, NULL, &len, NULL,
	                                                    sodium_base64_VARIANT_URLSAFE_NO_PADDING) < 0)
		return err_set(e, "the token is damaged: copy it again, whole");
	if (len <= 2 * KEY_LEN || memchr(raw + 2 * KEY_LEN, '\0', len - 2 * KEY_LEN))
		return err_set(e, "the token is damaged: copy it again, whole");
	*out = (struct token){0};
	memcpy(out->collector, raw, KEY_LEN);
	memcpy(out->secret, raw + KEY_LEN, KEY_LEN);
	memcpy(out->endpoint, raw + 2 * KEY_LEN, len - 2 * KEY_LEN);
	sodium_memzero(raw, sizeof raw);
	return 0;
}

void token_keypair(const struct token *t, struct keypair *out)
{
	static const char use[] = "bothways token, joining key";
	uint8_t seed[crypto_box_SEEDBYTES];

	crypto_generichash(seed, sizeof seed, (const uint8_t *)use, sizeof use - 1, t->secret, KEY_LEN);
	crypto_box_seed_keypair(out->pub, out->sec, seed);
	sodium_memzero(seed, sizeof seed);
}

/* ---- sealing ---- */

static void nonce_make(uint8_t nonce[static NONCE_LEN], const struct seal *s, bool guest, uint64_t counter)
{
	memcpy(nonce, s->session, sizeof s->session);
	nonce[15] = guest;
	for (int i = 0; i < 8; i++)
		nonce[COUNTER_OFFSET + i] = (uint8_t)(counter >> (56 - 8 * i));
}

static uint64_t nonce_counter(const uint8_t *nonce)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | nonce[COUNTER_OFFSET + i];
	return v;
}

static bool seal_prepare(struct seal *s, const struct keypair *own, const uint8_t other[static KEY_LEN], bool guest)
{
	*s = (struct seal){.guest = guest};
	return crypto_box_beforenm(s->shared, other, own->sec) == 0;
}

void seal_start(struct seal *s, const struct keypair *own, const uint8_t other[static KEY_LEN])
{
	/* a point of low order as the other's key leaves a key nobody has: nothing will open */
	if (!seal_prepare(s, own, other, true))
		randombytes_buf(s->shared, sizeof s->shared);
	randombytes_buf(s->session, sizeof s->session);
}

bool seal_accept(struct seal *s, const struct keypair *own, const uint8_t other[static KEY_LEN], const void *frame, size_t len)
{
	struct seal fresh;
	struct buf opened = {0};
	bool good;

	if (len < SEAL_OVERHEAD || !seal_prepare(&fresh, own, other, false))
		return false;
	memcpy(fresh.session, frame, sizeof fresh.session);
	good = seal_open(&fresh, frame, len, &opened);
	buf_free(&opened);
	if (good) {
		*s = fresh;
		s->seen = 0; /* the caller opens this very frame, as it will all others */
	}
	return good;
}

void seal_session(struct seal *s, const uint8_t session[static SEAL_SESSION_LEN])
{
	memcpy(s->session, session, sizeof s->session);
	s->sent = s->seen = 0;
}

void seal_close(struct seal *s, const void *data, size_t len, struct buf *out)
{
	uint8_t nonce[NONCE_LEN], tag[crypto_box_MACBYTES] = {0};
	size_t at = out->len + NONCE_LEN;
	uint8_t *box;

	nonce_make(nonce, s, s->guest, ++s->sent);
	buf_add(out, nonce, sizeof nonce);
	buf_add(out, tag, sizeof tag);
	buf_add(out, data, len);
	box = (uint8_t *)out->data + at;
	/* in place is allowed, shifting by the tag's length too */
	if (crypto_box_easy_afternm(box, box + sizeof tag, len, nonce, s->shared) != 0)
		out->len = at - NONCE_LEN;
}

bool seal_open(struct seal *s, const void *frame, size_t len, struct buf *out)
{
	uint8_t expected[NONCE_LEN];
	const uint8_t *nonce = frame;
	uint8_t *plain;
	uint64_t counter;

	if (len < SEAL_OVERHEAD)
		return false;
	counter = nonce_counter(nonce);
	nonce_make(expected, s, !s->guest, counter);
	if (counter <= s->seen || memcmp(expected, nonce, NONCE_LEN) != 0)
		return false;
	plain = mem_array(len, 1);
	if (crypto_box_open_easy_afternm(plain, nonce + NONCE_LEN, len - NONCE_LEN, nonce, s->shared) != 0) {
		free(plain);
		return false;
	}
	s->seen = counter;
	buf_add(out, plain, len - SEAL_OVERHEAD);
	free(plain);
	return true;
}
