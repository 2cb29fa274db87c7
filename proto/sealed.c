#include "proto/sealed.h"

#include <string.h>

/* First byte of a payload. It is not proven: who relays may change it, and gains no more than by dropping the payload. */
enum payload { PAYLOAD_OPEN = 'O', PAYLOAD_WELCOME = 'W', PAYLOAD_DATA = 'D', PAYLOAD_RESET = 'R', PAYLOAD_REFUSE = 'X' };

/* First sealed byte of PAYLOAD_DATA. */
#define PART_FIRST 0x01
#define PART_LAST  0x02
#define PART_BYTES 32768

#define OPEN_LEN (1 + KEY_LEN + SEAL_OVERHEAD)

static void forget(struct sealed *s)
{
	buf_free(&s->assembly);
	*s = (struct sealed){.bad = s->bad};
}

static void emit_kind(enum payload kind, sealed_emit_fn *emit, void *arg)
{
	uint8_t byte = (uint8_t)kind;

	emit(arg, &byte, 1);
}

void sealed_start(struct sealed *s, const struct keypair *own, const uint8_t collector[static KEY_LEN], sealed_emit_fn *emit,
                  void *arg)
{
	uint8_t kind = PAYLOAD_OPEN;
	struct buf out = {0};

	forget(s);
	seal_start(&s->seal, own, collector);
	buf_add(&out, &kind, 1);
	buf_add(&out, own->pub, KEY_LEN);
	seal_close(&s->seal, NULL, 0, &out);
	emit(arg, out.data, out.len);
	buf_free(&out);
}

bool sealed_peer(const void *payload, size_t len, uint8_t key[static KEY_LEN])
{
	const uint8_t *p = payload;

	if (len != OPEN_LEN || p[0] != PAYLOAD_OPEN)
		return false;
	memcpy(key, p + 1, KEY_LEN);
	return true;
}

bool sealed_accept(struct sealed *s, const struct keypair *own, const void *payload, size_t len, sealed_emit_fn *emit, void *arg)
{
	const uint8_t *p = payload;
	uint8_t kind = PAYLOAD_WELCOME, key[KEY_LEN], session[SEAL_SESSION_LEN];
	struct buf out = {0};
	struct seal fresh;

	if (!sealed_peer(payload, len, key) || !seal_accept(&fresh, own, key, p + 1 + KEY_LEN, len - 1 - KEY_LEN)) {
		s->bad++;
		return false;
	}
	forget(s);
	s->seal = fresh;
	keys_random(session, sizeof session);
	buf_add(&out, &kind, 1);
	seal_close(&s->seal, session, sizeof session, &out);
	seal_session(&s->seal, session);
	s->ready = true;
	emit(arg, out.data, out.len);
	buf_free(&out);
	return true;
}

void sealed_reset(sealed_emit_fn *emit, void *arg) { emit_kind(PAYLOAD_RESET, emit, arg); }

void sealed_refuse(sealed_emit_fn *emit, void *arg) { emit_kind(PAYLOAD_REFUSE, emit, arg); }

static enum sealed_event bad(struct sealed *s)
{
	s->bad++;
	return SEALED_NOTHING;
}

static enum sealed_event welcome_read(struct sealed *s, const uint8_t *p, size_t len)
{
	struct buf session = {0};
	bool good = s->seal.guest && !s->ready && seal_open(&s->seal, p + 1, len - 1, &session) && session.len == SEAL_SESSION_LEN;

	if (good) {
		seal_session(&s->seal, (const uint8_t *)session.data);
		s->ready = true;
	}
	buf_free(&session);
	return good ? SEALED_READY : bad(s);
}

/* Parts belong together only when nothing between them got lost: their counters follow on each other. */
static enum sealed_event part_add(struct sealed *s, const char *part, size_t len, struct buf *message)
{
	uint8_t flags = (uint8_t)part[0];

	if (flags & PART_FIRST)
		buf_clear(&s->assembly);
	else if (s->next_part == 0 || s->next_part != s->seal.seen)
		return s->next_part = 0, bad(s);
	if (s->assembly.len + len - 1 > MSG_BYTES_MAX)
		return s->next_part = 0, bad(s);
	buf_add(&s->assembly, part + 1, len - 1);
	s->next_part = s->seal.seen + 1;
	if (!(flags & PART_LAST))
		return SEALED_NOTHING;
	s->next_part = 0;
	buf_add(message, s->assembly.data, s->assembly.len);
	buf_free(&s->assembly); /* large messages are rare: their memory is not kept */
	return SEALED_MESSAGE;
}

static enum sealed_event data_read(struct sealed *s, const uint8_t *p, size_t len, struct buf *message)
{
	struct buf part = {0};
	uint64_t seen = s->seal.seen;
	enum sealed_event ev;

	if (!s->ready || !seal_open(&s->seal, p + 1, len - 1, &part) || part.len < 1) {
		buf_free(&part);
		return bad(s);
	}
	s->proven = true;
	s->lost += s->seal.seen - seen - 1;
	ev = part_add(s, part.data, part.len, message);
	buf_free(&part);
	return ev;
}

enum sealed_event sealed_read(struct sealed *s, const void *payload, size_t len, struct buf *message)
{
	const uint8_t *p = payload;

	buf_clear(message);
	if (len < 1)
		return bad(s);
	switch (p[0]) {
	case PAYLOAD_WELCOME: return welcome_read(s, p, len);
	case PAYLOAD_DATA: return data_read(s, p, len, message);
	case PAYLOAD_RESET: return s->seal.guest ? SEALED_RESET : bad(s);
	case PAYLOAD_REFUSE: return s->seal.guest ? SEALED_REFUSED : bad(s);
	default: return bad(s);
	}
}

int sealed_write(struct sealed *s, const void *data, size_t len, sealed_emit_fn *emit, void *arg)
{
	struct buf plain = {0}, out = {0};
	size_t at = 0;

	if (!s->ready || len > MSG_BYTES_MAX)
		return -1;
	do {
		size_t n = len - at < PART_BYTES ? len - at : PART_BYTES;
		uint8_t kind = PAYLOAD_DATA, flags = (uint8_t)((at == 0 ? PART_FIRST : 0) | (at + n == len ? PART_LAST : 0));

		buf_clear(&plain);
		buf_clear(&out);
		buf_add(&plain, &flags, 1);
		buf_add(&plain, (const uint8_t *)data + at, n);
		buf_add(&out, &kind, 1);
		seal_close(&s->seal, plain.data, plain.len, &out);
		emit(arg, out.data, out.len);
		at += n;
	} while (at < len);
	buf_free(&plain);
	buf_free(&out);
	return 0;
}

void sealed_clear(struct sealed *s)
{
	forget(s);
	*s = (struct sealed){0};
}
