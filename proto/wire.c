/* wire: sessions and envelopes: which message is described by which table, and the bound on memory while reading. */
#include "proto/wire.h"

#include "proto/wire_shape.h"

#include "bothways.pb-c.h"

#include <stdlib.h>
#include <string.h>

/* ---- session ---- */

static const struct shape nothing_shape = {.name = "nothing", .pb = &bothways__v1__nothing__descriptor};

#define PB    Bothways__V1__Join
#define MODEL struct msg_join
static const struct field join_fields[] = {NUM(version_min), NUM(version_max), KEY(agent_key), NAME(name), TEXT(hostname)};
static const struct shape join_shape = SHAPE("join", join_fields, bothways__v1__join__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Joined
#define MODEL struct msg_joined
static const struct field joined_fields[] = {NAME(name), NAME(tenant), RANGE(kind, AGENT_GUEST)};
static const struct shape joined_shape = SHAPE("joined", joined_fields, bothways__v1__joined__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Refused
#define MODEL struct msg_refused
static const struct field refused_fields[] = {TEXT(reason), FLAG(final)};
static const struct shape refused_shape = SHAPE("refused", refused_fields, bothways__v1__refused__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Hello
#define MODEL struct msg_hello
static const struct field hello_fields[] = {
    NUM(version_min),
    NUM(version_max),
    NUM(boot),
    NUM(next_report),
    TEXT(software),
    NUM_OR(probe_port, PROBE_PORT_DEFAULT),
    NUM(rights),
    TEXT(rights_why),
    TEXT(restart),
    TEXT(uplink_if),
    TEXT(probe_ifs),
    NUMBERS(services, service_count),
    TEXTS(starts, start_count),
};
static const struct shape hello_shape = SHAPE("hello", hello_fields, bothways__v1__hello__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Welcome
#define MODEL struct msg_welcome
static const struct field welcome_fields[] = {NUM(version), NUM(acked), NAME(name), NAME(tenant), RANGE(kind, AGENT_GUEST)};
static const struct shape welcome_shape = SHAPE("welcome", welcome_fields, bothways__v1__welcome__descriptor);
#undef PB
#undef MODEL

/* ---- reports ---- */

#define PB    Bothways__V1__Report
#define MODEL struct msg_report
static const struct field report_fields[] = {
    NUM(boot),
    NUM(number),
    SUB(health, health_shape),
    FIELD_AS(FIELD_COLUMNS, rows, rows, COUNTED(row_count)),
    OWNED(snapshot, snapshot_shape),
};
static const struct shape report_shape = SHAPE("report", report_fields, bothways__v1__report__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Ack
#define MODEL struct msg_ack
static const struct field ack_fields[] = {NUM(boot), NUM(number)};
static const struct shape ack_shape = SHAPE("ack", ack_fields, bothways__v1__ack__descriptor);
#undef PB
#undef MODEL

/* ---- stages of a round ---- */

#define PB    Bothways__V1__RoundStage
#define MODEL struct msg_round_go
static const struct field round_go_fields[] = {NUM(round), RANGE(stage, STAGE_COUNT - 1)};
static const struct shape round_go_shape = SHAPE("round go", round_go_fields, bothways__v1__round_stage__descriptor);
#undef MODEL
#define MODEL struct msg_stage_done
static const struct field stage_done_fields[] = {NUM(round),
                                                 RANGE(stage, STAGE_COUNT - 1),
                                                 MASK(unanswered, KIND_BIT(KIND_COUNT) - 1),
                                                 MASK(silent, KIND_BIT(KIND_COUNT) - 1),
                                                 NUM(repeated),
                                                 NUM(rtt_us)};
static const struct shape stage_done_shape = SHAPE("stage done", stage_done_fields, bothways__v1__round_stage__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__RoundEnd
#define MODEL struct msg_round_end
static const struct field round_end_fields[] = {NUM(round)};
static const struct shape round_end_shape = SHAPE("round end", round_end_fields, bothways__v1__round_end__descriptor);
#undef PB
#undef MODEL

/* ---- relay, query ---- */

#define PB    Bothways__V1__Relay
#define MODEL struct msg_relay
static const struct field relay_fields[] = {NUM(stream), BLOB(data, len, RELAY_BYTES_MAX)};
static const struct shape relay_shape = SHAPE("relay", relay_fields, bothways__v1__relay__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__RelayState
#define MODEL struct msg_relay_state
static const struct field relay_state_fields[] = {NUM(stream), FLAG(open), TEXT(label)};
static const struct shape relay_state_shape = SHAPE("relay state", relay_state_fields, bothways__v1__relay_state__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Query
#define MODEL struct msg_query
static const struct field query_fields[] = {NUM(id), TEXTS(args, argc)};
static const struct shape query_shape = SHAPE("query", query_fields, bothways__v1__query__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Answer
#define MODEL struct msg_answer
static const struct field answer_fields[] = {NUM(id), FLAG(more), NUM(exit_code), JSON(json, len, MSG_BYTES_MAX),
                                             BLOB(blob, blob_len, ANSWER_BLOB_MAX)};
static const struct shape answer_shape = SHAPE("answer", answer_fields, bothways__v1__answer__descriptor);
#undef PB
#undef MODEL

/* ---- envelope ---- */

#define BODY(what) BOTHWAYS__V1__ENVELOPE__BODY_##what

static const struct body {
	unsigned in_envelope;
	const struct shape *shape;
} bodies[MSG_TYPE_COUNT] = {
    [MSG_JOIN] = {BODY(JOIN), &join_shape},
    [MSG_HELLO] = {BODY(HELLO), &hello_shape},
    [MSG_REPORT] = {BODY(REPORT), &report_shape},
    [MSG_ROUND_ARMED] = {BODY(ROUND_ARMED), &round_armed_shape},
    [MSG_STAGE_DONE] = {BODY(STAGE_DONE), &stage_done_shape},
    [MSG_ROUND_RESULT] = {BODY(ROUND_RESULT), &round_result_shape},
    [MSG_RELAY_UP] = {BODY(RELAY_UP), &relay_shape},
    [MSG_RELAY_STATE] = {BODY(RELAY_STATE), &relay_state_shape},
    [MSG_JOINED] = {BODY(JOINED), &joined_shape},
    [MSG_REFUSED] = {BODY(REFUSED), &refused_shape},
    [MSG_WELCOME] = {BODY(WELCOME), &welcome_shape},
    [MSG_PLAN] = {BODY(PLAN), &plan_shape},
    [MSG_ACK] = {BODY(ACK), &ack_shape},
    [MSG_ROUND_ARM] = {BODY(ROUND_ARM), &round_arm_shape},
    [MSG_ROUND_GO] = {BODY(ROUND_GO), &round_go_shape},
    [MSG_ROUND_END] = {BODY(ROUND_END), &round_end_shape},
    [MSG_RELAY_DOWN] = {BODY(RELAY_DOWN), &relay_shape},
    [MSG_QUERY] = {BODY(QUERY), &query_shape},
    [MSG_ANSWER] = {BODY(ANSWER), &answer_shape},
    [MSG_PING] = {BODY(PING), &nothing_shape},
    [MSG_PONG] = {BODY(PONG), &nothing_shape},
};

struct msg *msg_new(enum msg_type type)
{
	struct msg *m = mem_alloc(sizeof *m);
	m->type = type;
	return m;
}

void msg_free(struct msg *m)
{
	if (m && bodies[m->type].shape)
		shape_clear(bodies[m->type].shape, &m->u);
	free(m);
}

/* ---- encode ---- */

/* All bodies of the oneof are pointers in one union: any name of it will do. */
static void *envelope_body(const Bothways__V1__Envelope *env) { return env->join; }

static void *snapshot_of(const struct shape *s, const void *body)
{
	for (size_t i = 0; i < s->count; i++) {
		if (s->fields[i].shape == &snapshot_shape) {
			void *p;
			memcpy(&p, (const char *)body + s->fields[i].pb, sizeof p);
			return p;
		}
	}
	return NULL;
}

/* Makes it fit by its snapshot, if it has one. Each turn at least halves a list: the number of turns is small. */
static size_t envelope_fit(const Bothways__V1__Envelope *env, const struct shape *s, size_t max)
{
	void *snapshot = snapshot_of(s, envelope_body(env));
	size_t size = bothways__v1__envelope__get_packed_size(env);
	for (size_t before = size + 1; snapshot && size > max && size < before;) {
		before = size;
		snapshot_trim(snapshot, size - max);
		size = bothways__v1__envelope__get_packed_size(env);
	}
	return size;
}

static int encode(const struct msg *m, size_t max, struct buf *out, struct writer *w, struct err *e)
{
	const struct shape *s = bodies[m->type].shape;
	Bothways__V1__Envelope env = BOTHWAYS__V1__ENVELOPE__INIT;
	env.body_case = bodies[m->type].in_envelope;
	env.join = shape_write(s, &m->u, w);
	if (w->too_big)
		return err_set(e, "%s: %s is beyond its limit", s->name, w->too_big);
	size_t size = envelope_fit(&env, s, max);
	if (size > max)
		return err_set(e, "%s: %zu bytes are more than a message may have (%zu)", s->name, size, max);
	uint8_t *bytes = arena_alloc(&w->arena, size);
	buf_add(out, bytes, bothways__v1__envelope__pack(&env, bytes));
	return 0;
}

int wire_encode_within(const struct msg *m, size_t max, struct buf *out, struct err *e)
{
	struct writer w = {0};
	if (!bodies[m->type].shape)
		return err_set(e, "a message of no known type cannot be sent");
	int rc = encode(m, max < MSG_BYTES_MAX ? max : MSG_BYTES_MAX, out, &w, e);
	arena_free(&w.arena);
	return rc;
}

int wire_encode(const struct msg *m, struct buf *out, struct err *e) { return wire_encode_within(m, MSG_BYTES_MAX, out, e); }

/* ---- decode ---- */

/* An empty submessage takes two bytes on the wire and a hundred in memory: whoever sends half a million of them would
 * make us allocate fifty megabytes. Honest messages need at most twenty times their length. */
#define BUDGET_BASE     (1u << 20)
#define BUDGET_PER_BYTE 32

struct budget {
	size_t left;
};

union header {
	size_t size;
	max_align_t align;
};

static void *budget_alloc(void *data, size_t size)
{
	struct budget *b = data;
	if (size > b->left || b->left - size < sizeof(union header))
		return NULL;
	union header *h = malloc(sizeof *h + size);
	if (!h)
		return NULL;
	h->size = size + sizeof *h;
	b->left -= h->size;
	return h + 1;
}

static void budget_free(void *data, void *p)
{
	struct budget *b = data;
	if (!p)
		return;
	union header *h = (union header *)p - 1;
	b->left += h->size;
	free(h);
}

static enum msg_type type_of(const Bothways__V1__Envelope *env)
{
	for (int t = MSG_UNKNOWN + 1; t < MSG_TYPE_COUNT; t++) {
		if (bodies[t].in_envelope == (unsigned)env->body_case && envelope_body(env))
			return t;
	}
	return MSG_UNKNOWN;
}

static struct msg *msg_of(const Bothways__V1__Envelope *env, struct err *e)
{
	struct msg *m = msg_new(type_of(env));
	struct reader r = {.e = e};
	const struct shape *s = bodies[m->type].shape;
	if (s && shape_read(s, envelope_body(env), &m->u, &r) < 0) {
		msg_free(m);
		return NULL;
	}
	return m;
}

struct msg *wire_decode(const void *data, size_t len, struct err *e)
{
	struct budget budget = {.left = BUDGET_BASE + BUDGET_PER_BYTE * len};
	ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
	if (len > MSG_BYTES_MAX) {
		err_set(e, "%zu bytes are more than a message may have", len);
		return NULL;
	}
	Bothways__V1__Envelope *env = bothways__v1__envelope__unpack(&allocator, len, data);
	if (!env) {
		err_set(e, "malformed message of %zu bytes", len);
		return NULL;
	}
	struct msg *m = msg_of(env, e);
	bothways__v1__envelope__free_unpacked(env, &allocator);
	return m;
}

uint32_t wire_common_version(uint32_t min_a, uint32_t max_a, uint32_t min_b, uint32_t max_b)
{
	uint32_t highest = max_a < max_b ? max_a : max_b;
	return highest >= min_a && highest >= min_b ? highest : 0;
}
