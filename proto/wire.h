/* wire: messages as structs <-> bytes (protobuf). The only file pair that meets the generated types. Decoding bounds
 * every field (proto/model/limits.h) and refuses what is out of range; unknown fields and unknown message types of a
 * newer peer are skipped (MSG_UNKNOWN). See PROTOCOL.md. */
#ifndef BW_WIRE_H
#define BW_WIRE_H

#include "proto/base/err.h"
#include "proto/base/mem.h"
#include "proto/model/dossier.h"
#include "proto/model/observation.h"
#include "proto/model/plan.h"
#include "proto/model/snapshot.h"

#define PROTOCOL_VERSION     4 /* what this build speaks */
#define PROTOCOL_VERSION_MIN 1 /* the oldest it accepts */
#ifndef KEY_LEN
#define KEY_LEN 32
#endif

enum msg_type {
	MSG_UNKNOWN,
	/* agent -> collector */
	MSG_JOIN,
	MSG_HELLO,
	MSG_REPORT,
	MSG_ROUND_ARMED,
	MSG_STAGE_DONE,
	MSG_ROUND_RESULT,
	MSG_RELAY_UP,
	MSG_RELAY_STATE,
	/* collector -> agent */
	MSG_JOINED,
	MSG_REFUSED,
	MSG_WELCOME,
	MSG_PLAN,
	MSG_ACK,
	MSG_ROUND_ARM,
	MSG_ROUND_GO,
	MSG_ROUND_END,
	MSG_RELAY_DOWN,
	/* CLI <-> collector */
	MSG_QUERY,
	MSG_ANSWER,
	/* either way */
	MSG_PING,
	MSG_PONG,
	MSG_TYPE_COUNT
};

struct msg_join { /* sent on a connection made with the token's key */
	uint32_t version_min, version_max;
	uint8_t agent_key[KEY_LEN]; /* public key the agent will use from now on */
	char name[NAME_MAX_LEN];    /* wish; a token with a name wins; "" = choose from the host name */
	char hostname[NAME_MAX_LEN];
};
struct msg_joined {
	char name[NAME_MAX_LEN], tenant[NAME_MAX_LEN];
	uint8_t kind;
};
struct msg_refused {
	char reason[REASON_MAX_LEN];
	bool final; /* trying again is useless */
};

struct msg_hello { /* first message of every session */
	uint32_t version_min, version_max;
	uint64_t boot;        /* random per start of the agent: report numbers start at 1 with it */
	uint64_t next_report; /* number of the oldest report still kept */
	char software[32];
	uint16_t probe_port;
	uint32_t rights;                 /* RIGHT_* */
	char rights_why[REASON_MAX_LEN]; /* what is missing and why; "" = nothing */
	char restart[256];               /* command that starts this agent again */
	char uplink_if[IFNAME_LEN];      /* interface its direct connection leaves by, "" = none or not known */
	char probe_ifs[256];             /* --probe-interfaces, comma-separated, "" = choose */
	size_t service_count;
	uint16_t services[SERVICES_MAX];              /* TCP ports this machine offers */
	size_t start_count;                           /* as many as services, or none */
	char starts[SERVICES_MAX][SERVICE_START_MAX]; /* commands that start them, "" = not known */
};
struct msg_welcome {
	uint32_t version;
	uint64_t acked; /* of this boot; 0 = none */
	char name[NAME_MAX_LEN], tenant[NAME_MAX_LEN];
	uint8_t kind;
};

struct msg_report { /* numbered, kept by the agent until acknowledged, applied once */
	uint64_t boot, number;
	struct health health;
	size_t row_count;
	struct watch_row *rows;    /* owned; columns on the wire */
	struct snapshot *snapshot; /* owned; NULL = unchanged */
};
struct msg_ack {
	uint64_t boot, number; /* this and all before */
};

struct msg_round_armed {
	uint64_t round;
	size_t status_count;
	struct point_status status[ROUND_POINTS_MAX];
	struct snapshot *snapshot; /* owned, may be NULL */
	bool refused;              /* takes no part: nothing more comes of it; status says why */
};
struct msg_round_go {
	uint64_t round;
	uint8_t stage;
};
struct msg_stage_done {
	uint64_t round;
	uint8_t stage;
	kind_mask unanswered; /* kinds of this stage with probes that got no answer; 0 = none, or an older agent */
	kind_mask silent;     /* of these, kinds of which not one did; since 4 */
	uint32_t repeated;    /* probes and answers that came more than once */
	uint32_t rtt_us;      /* the shortest round trip of an echo; 0 = none */
};
struct msg_round_end {
	uint64_t round;
}; /* -> the agent answers MSG_ROUND_RESULT and forgets the round */
struct msg_round_result {
	struct round_result result;
	struct snapshot *snapshot; /* owned, may be NULL */
};

struct msg_relay {
	uint32_t stream;
	size_t len;
	uint8_t *data; /* owned; one sealed frame */
};
struct msg_relay_state {
	uint32_t stream;
	bool open;
	char label[NAME_MAX_LEN]; /* file name of the socket */
};

struct msg_query {
	uint32_t id;
	size_t argc;
	char args[QUERY_ARGS_MAX][256]; /* args[0] = command */
};
struct msg_answer {
	uint32_t id;
	bool more; /* progress; the final one has more = false */
	uint8_t exit_code;
	size_t len;
	char *json;      /* owned */
	size_t blob_len; /* with `more`: the next part of the file that was asked for */
	uint8_t *blob;   /* owned */
};

struct msg {
	enum msg_type type;
	union {
		struct msg_join join;
		struct msg_joined joined;
		struct msg_refused refused;
		struct msg_hello hello;
		struct msg_welcome welcome;
		struct msg_report report;
		struct msg_ack ack;
		struct plan plan;
		struct round_spec round_arm;
		struct msg_round_armed round_armed;
		struct msg_round_go round_go;
		struct msg_stage_done stage_done;
		struct msg_round_end round_end;
		struct msg_round_result round_result;
		struct msg_relay relay;
		struct msg_relay_state relay_state;
		struct msg_query query;
		struct msg_answer answer;
	} u;
};

struct msg *msg_new(enum msg_type type);
void msg_free(struct msg *m); /* with all it owns; NULL is fine */

/* Appends to `out`. -1 only if the message exceeds MSG_BYTES_MAX (a snapshot is truncated first, and says so). */
int wire_encode(const struct msg *m, struct buf *out, struct err *e);
/* The same with a lower limit than MSG_BYTES_MAX. */
int wire_encode_within(const struct msg *m, size_t max, struct buf *out, struct err *e);
/* A fresh message, or NULL with the reason. Never trusts a length; memory is bounded by the limits. */
struct msg *wire_decode(const void *data, size_t len, struct err *e);
/* Version both can speak: the lower of the two highest, or 0 if they have none in common. */
uint32_t wire_common_version(uint32_t min_a, uint32_t max_a, uint32_t min_b, uint32_t max_b);

#endif
