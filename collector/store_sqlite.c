/* store_sqlite: the store on SQLite with a write-ahead log. The only file that meets sqlite3.h. Writes are a queue of prepared
 * operations; a flush runs them in one transaction, so that a full disk leaves either all of them or none. */
#include "collector/store.h"

#include "proto/base/mem.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANGES_KEPT_SECONDS (30 * 86400LL)
#define ARGS_MAX             9

/* Of version 1, and what each later one added. */
static const char *const SCHEMA_1[] = {
    "CREATE TABLE tenant(name TEXT PRIMARY KEY, created INTEGER NOT NULL) WITHOUT ROWID",
    ("CREATE TABLE agent(id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, kind INTEGER NOT NULL, key BLOB NOT "
     "NULL "
     "UNIQUE,"
     " created INTEGER NOT NULL, boot INTEGER NOT NULL, applied INTEGER NOT NULL, UNIQUE(tenant, name))"),
    ("CREATE TABLE token(key BLOB PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, kind INTEGER NOT NULL, created INTEGER "
     "NOT "
     "NULL,"
     " expires INTEGER NOT NULL, uses_left INTEGER NOT NULL) WITHOUT ROWID"),
    "CREATE TABLE cli_key(key BLOB PRIMARY KEY, role TEXT NOT NULL, tenant TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID",
    ("CREATE TABLE verdict(id INTEGER PRIMARY KEY, round INTEGER NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL, state INTEGER "
     "NOT NULL,"
     " at INTEGER NOT NULL, cause TEXT NOT NULL, json TEXT NOT NULL, open INTEGER NOT NULL, closed_at INTEGER)"),
    "CREATE INDEX verdict_pair ON verdict(a, b, id)",
    "CREATE INDEX verdict_open ON verdict(a, b) WHERE open",
    ("CREATE TABLE fact_change(id INTEGER PRIMARY KEY, agent INTEGER NOT NULL, at INTEGER NOT NULL, fact TEXT NOT NULL, was TEXT, "
     "now TEXT)"),
    "CREATE INDEX fact_change_agent ON fact_change(agent, id)",
};
static const char *const SCHEMA_2[] = {
    ("CREATE TABLE record(round INTEGER PRIMARY KEY, a INTEGER NOT NULL, b INTEGER NOT NULL, at INTEGER NOT NULL, bytes INTEGER "
     "NOT "
     "NULL, data BLOB NOT NULL)"),
    ("CREATE TABLE feedback(id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, round INTEGER NOT NULL, a TEXT NOT NULL, b "
     "TEXT NOT NULL, right INTEGER NOT NULL, said TEXT NOT NULL, real TEXT NOT NULL, role TEXT NOT NULL, undone_at INTEGER)"),
};
#define STEP(list)                                                                                                                 \
	{                                                                                                                          \
		list, sizeof list / sizeof *list                                                                                   \
	}
static const struct schema_step {
	const char *const *sql;
	size_t count;
} STEPS[STORE_SCHEMA] = {STEP(SCHEMA_1), STEP(SCHEMA_2)};

enum op {
	OP_TENANT,
	OP_AGENT,
	OP_TOKEN,
	OP_SPEND,
	OP_KEY,
	OP_APPLIED,
	OP_CHANGE,
	OP_CHANGE_TRIM,
	OP_VERDICT_CLOSE,
	OP_VERDICT,
	OP_VERDICT_TRIM,
	OP_RECORD,
	OP_RECORD_TRIM_PAIR,
	OP_RECORD_TRIM,
	OP_FEEDBACK,
	OP_FEEDBACK_UNDO,
	OP_POKE,
	OP_COUNT
};

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)

static const char *const OPS[OP_COUNT] = {
    [OP_POKE] = "PRAGMA user_version = " TEXT(STORE_SCHEMA),
    [OP_TENANT] = "INSERT INTO tenant VALUES(?1, ?2) ON CONFLICT DO NOTHING",
    [OP_AGENT] = "INSERT INTO agent VALUES(?1, ?2, ?3, ?4, ?5, ?6, 0, 0)"
                 " ON CONFLICT(id) DO UPDATE SET key = excluded.key, created = excluded.created, boot = 0, applied = 0",
    [OP_TOKEN] = "INSERT INTO token VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [OP_SPEND] = "UPDATE token SET uses_left = uses_left - 1 WHERE key = ?1 AND uses_left > 0",
    [OP_KEY] = "INSERT INTO cli_key VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    [OP_APPLIED] = "UPDATE agent SET boot = ?2, applied = ?3 WHERE id = ?1",
    [OP_CHANGE] = "INSERT INTO fact_change(agent, at, fact, was, now) VALUES(?1, ?2, ?3, ?4, ?5)",
    [OP_CHANGE_TRIM] = "DELETE FROM fact_change WHERE agent = ?1 AND at < ?2",
    [OP_VERDICT_CLOSE] = "UPDATE verdict SET open = 0, closed_at = ?3 WHERE a = ?1 AND b = ?2 AND open",
    [OP_VERDICT] = "INSERT INTO verdict(round, a, b, state, at, cause, json, open) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [OP_VERDICT_TRIM] =
        "DELETE FROM verdict WHERE a = ?1 AND b = ?2 AND NOT open AND id <= (SELECT id FROM verdict WHERE a = ?1 AND b = ?2"
        " ORDER BY id DESC LIMIT 1 OFFSET ?3)",
    [OP_RECORD] = "INSERT OR REPLACE INTO record VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [OP_RECORD_TRIM_PAIR] = "DELETE FROM record WHERE a = ?1 AND b = ?2 AND round NOT IN"
                            " (SELECT round FROM record WHERE a = ?1 AND b = ?2 ORDER BY at DESC LIMIT ?3)",
    [OP_RECORD_TRIM] =
        "DELETE FROM record WHERE round IN (SELECT round FROM (SELECT r.round, row_number() OVER kept AS n, sum(r.bytes) OVER kept"
        " AS total FROM record r WINDOW kept AS (ORDER BY EXISTS(SELECT 1 FROM verdict v WHERE v.open AND v.a = r.a AND v.b = r.b"
        " AND v.round = r.round) DESC, r.at DESC, r.round)) WHERE n > ?1 OR total > ?2)",
    [OP_FEEDBACK] = "INSERT INTO feedback(at, round, a, b, right, said, real, role) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [OP_FEEDBACK_UNDO] = "UPDATE feedback SET undone_at = ?2 WHERE id = ?1 AND undone_at IS NULL",
};

enum arg_type { ARG_NULL, ARG_INT, ARG_TEXT, ARG_KEY, ARG_BLOB };

struct arg {
	enum arg_type type;
	int64_t number; /* of a blob, its length */
	char *text;     /* owned; of a blob, its bytes */
	uint8_t key[KEY_LEN];
};

struct write {
	enum op op;
	int arg_count;
	struct arg *args; /* owned */
};

struct store {
	sqlite3 *db;
	sqlite3_stmt *ops[OP_COUNT];
	sqlite3_stmt *find_token, *find_key;
	struct write *queue;
	size_t count, cap;
	size_t record_bytes; /* in the queue */
};

/* ---- opening ---- */

static int db_error(struct store *s, const char *what, struct err *e)
{
	return err_set(e, "state: cannot %s: %s", what, sqlite3_errmsg(s->db));
}

static int db_exec(struct store *s, const char *sql, const char *what, struct err *e)
{
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return db_error(s, what, e);
	return 0;
}

static int read_number(struct store *s, const char *sql, int64_t *out, struct err *e)
{
	sqlite3_stmt *st = NULL;
	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW) {
		sqlite3_finalize(st);
		return db_error(s, "read store.db", e);
	}
	*out = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return 0;
}

static int step_up(struct store *s, const struct schema_step *step, struct err *e)
{
	for (size_t i = 0; i < step->count; i++)
		if (db_exec(s, step->sql[i], "write store.db", e))
			return -1;
	return 0;
}

/* From what is there, 0 = nothing, to this version. */
static int raise_schema(struct store *s, int64_t from, struct err *e)
{
	if (db_exec(s, "BEGIN IMMEDIATE", "write store.db", e))
		return -1;
	for (int64_t i = from; i < STORE_SCHEMA; i++)
		if (step_up(s, &STEPS[i], e))
			return -1;
	char version[48];
	snprintf(version, sizeof version, "PRAGMA user_version = %d", STORE_SCHEMA);
	if (db_exec(s, version, "write store.db", e))
		return -1;
	return db_exec(s, "COMMIT", "write store.db", e);
}

static int check_schema(struct store *s, const char *dir, struct err *e)
{
	int64_t version = 0;
	if (read_number(s, "PRAGMA user_version", &version, e))
		return -1;
	if (version > STORE_SCHEMA)
		return err_set(
		    e, "state directory %s is of a newer version (%" PRId64 ", this program knows up to %d): upgrade the collector",
		    dir, version, STORE_SCHEMA);
	if (version < STORE_SCHEMA)
		return raise_schema(s, version < 0 ? 0 : version, e);
	/* Proves at start that it can be written, instead of at the first report. */
	if (db_exec(s, "BEGIN IMMEDIATE; UPDATE tenant SET name = name WHERE name = ''; ROLLBACK", "write store.db", e))
		return -1;
	return 0;
}

static int prepare_all(struct store *s, struct err *e)
{
	for (int i = 0; i < OP_COUNT; i++)
		if (sqlite3_prepare_v3(s->db, OPS[i], -1, SQLITE_PREPARE_PERSISTENT, &s->ops[i], NULL) != SQLITE_OK)
			return db_error(s, "read store.db", e);
	if (sqlite3_prepare_v2(s->db, "SELECT tenant, name, kind, expires, uses_left FROM token WHERE key = ?1", -1, &s->find_token,
	                       NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(s->db, "SELECT role, tenant FROM cli_key WHERE key = ?1", -1, &s->find_key, NULL) != SQLITE_OK)
		return db_error(s, "read store.db", e);
	return 0;
}

static int open_database(struct store *s, const char *dir, struct err *e)
{
	char *path = mem_printf("%s/store.db", dir);
	int rc = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK) {
		err_set(e, "state: cannot open %s: %s", path, s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
		free(path);
		return -1;
	}
	free(path);
	sqlite3_busy_timeout(s->db, 1000);
	if (db_exec(s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON", "open store.db", e))
		return -1;
	if (check_schema(s, dir, e))
		return -1;
	return prepare_all(s, e);
}

struct store *store_open(const char *dir, struct err *e)
{
	struct store *s = mem_alloc(sizeof *s);
	if (open_database(s, dir, e)) {
		store_close(s);
		return NULL;
	}
	return s;
}

static void write_clear(struct write *w)
{
	for (int i = 0; i < w->arg_count; i++)
		free(w->args[i].text);
	free(w->args);
}

void store_forget_waiting(struct store *s)
{
	for (size_t i = 0; i < s->count; i++)
		write_clear(&s->queue[i]);
	s->count = s->record_bytes = 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->count)
		store_flush(s, NULL);
	store_forget_waiting(s);
	free(s->queue);
	for (int i = 0; i < OP_COUNT; i++)
		sqlite3_finalize(s->ops[i]);
	sqlite3_finalize(s->find_token);
	sqlite3_finalize(s->find_key);
	sqlite3_close(s->db);
	free(s);
}

/* ---- flushing ---- */

static void bind_arg(sqlite3_stmt *st, int at, const struct arg *a)
{
	switch (a->type) {
	case ARG_NULL: sqlite3_bind_null(st, at); break;
	case ARG_INT: sqlite3_bind_int64(st, at, a->number); break;
	case ARG_TEXT: sqlite3_bind_text(st, at, a->text, -1, SQLITE_STATIC); break;
	case ARG_BLOB: sqlite3_bind_blob(st, at, a->text, (int)a->number, SQLITE_STATIC); break;
	case ARG_KEY: sqlite3_bind_blob(st, at, a->key, KEY_LEN, SQLITE_STATIC); break;
	}
}

static int run_write(struct store *s, const struct write *w)
{
	sqlite3_stmt *st = s->ops[w->op];
	for (int i = 0; i < w->arg_count; i++)
		bind_arg(st, i + 1, &w->args[i]);
	int rc = sqlite3_step(st);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

static int run_all(struct store *s)
{
	if (sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		return -1;
	for (size_t i = 0; i < s->count; i++)
		if (run_write(s, &s->queue[i]))
			return -1;
	return sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}

int store_flush(struct store *s, struct err *e)
{
	if (!s->count)
		return 0;
	if (run_all(s)) {
		db_error(s, "write store.db", e);
		if (!sqlite3_get_autocommit(s->db)) /* SQLITE_FULL may have rolled back by itself */
			sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
		return -1;
	}
	store_forget_waiting(s);
	return 0;
}

size_t store_waiting(const struct store *s) { return s->count; }

/* Some room is kept, so that one operation of several writes is never cut in half. */
bool store_full(const struct store *s) { return s->count + 8 > STORE_QUEUE_MAX; }

/* ---- queueing ---- */

static struct arg arg_int(int64_t n) { return (struct arg){.type = ARG_INT, .number = n}; }
static struct arg arg_text(const char *t) { return (struct arg){.type = t ? ARG_TEXT : ARG_NULL, .text = mem_strdup(t)}; }
static struct arg arg_key(const uint8_t key[static KEY_LEN])
{
	struct arg a = {.type = ARG_KEY};
	memcpy(a.key, key, KEY_LEN);
	return a;
}

static struct arg arg_blob(const void *data, size_t len)
{
	struct arg a = {.type = ARG_BLOB, .number = (int64_t)len, .text = mem_alloc(len + 1)};
	if (len)
		memcpy(a.text, data, len);
	return a;
}

static void queue_args(struct store *s, enum op op, const struct arg *args, int count)
{
	struct write *w = VEC_ADD(s->queue, s->count, s->cap);
	w->op = op;
	w->arg_count = count;
	w->args = mem_array((size_t)count, sizeof *args);
	if (count)
		memcpy(w->args, args, (size_t)count * sizeof *args);
}

#define QUEUE(s, op, ...)                                                                                                          \
	do {                                                                                                                       \
		struct arg list[] = {__VA_ARGS__};                                                                                 \
		_Static_assert(sizeof list / sizeof *list <= ARGS_MAX, "more arguments than an operation has");                    \
		queue_args(s, op, list, (int)(sizeof list / sizeof *list));                                                        \
	} while (0)

void store_poke(struct store *s)
{
	if (!s->count)
		queue_args(s, OP_POKE, NULL, 0);
}

int store_put_agent(struct store *s, const struct stored_agent *a, struct wall now)
{
	if (store_full(s))
		return -1;
	QUEUE(s, OP_TENANT, arg_text(a->tenant), arg_int(now.ns));
	QUEUE(s, OP_AGENT, arg_int(a->id), arg_text(a->tenant), arg_text(a->name), arg_int(a->kind), arg_key(a->key),
	      arg_int(now.ns));
	return 0;
}

int store_put_token(struct store *s, const struct stored_token *t, struct wall now)
{
	if (store_full(s))
		return -1;
	QUEUE(s, OP_TENANT, arg_text(t->tenant), arg_int(now.ns));
	QUEUE(s, OP_TOKEN, arg_key(t->key), arg_text(t->tenant), arg_text(t->name), arg_int(t->kind), arg_int(now.ns),
	      arg_int(t->expires.ns), arg_int(t->uses_left));
	return 0;
}

int store_put_key(struct store *s, const struct stored_key *k, struct wall now)
{
	if (store_full(s))
		return -1;
	QUEUE(s, OP_KEY, arg_key(k->key), arg_text(k->role), arg_text(k->tenant), arg_int(now.ns));
	return 0;
}

int store_spend_token(struct store *s, const uint8_t key[static KEY_LEN])
{
	if (store_full(s))
		return -1;
	QUEUE(s, OP_SPEND, arg_key(key));
	return 0;
}

int store_applied(struct store *s, uint32_t agent, uint64_t boot, uint64_t number)
{
	if (store_full(s))
		return -1;
	QUEUE(s, OP_APPLIED, arg_int(agent), arg_int((int64_t)boot), arg_int((int64_t)number));
	return 0;
}

int store_put_change(struct store *s, uint32_t agent, const struct fact_change *c)
{
	if (store_full(s))
		return -1;
	QUEUE(s, OP_CHANGE, arg_int(agent), arg_int(c->at.ns), arg_text(c->key), arg_text(c->was), arg_text(c->now));
	QUEUE(s, OP_CHANGE_TRIM, arg_int(agent), arg_int(c->at.ns - CHANGES_KEPT_SECONDS * 1000000000LL));
	return 0;
}

int store_close_verdict(struct store *s, uint32_t a, uint32_t b, struct wall now)
{
	if (store_full(s))
		return -1;
	QUEUE(s, OP_VERDICT_CLOSE, arg_int(a), arg_int(b), arg_int(now.ns));
	return 0;
}

int store_put_verdict(struct store *s, const struct stored_verdict *v)
{
	if (store_full(s))
		return -1;
	if (v->open)
		QUEUE(s, OP_VERDICT_CLOSE, arg_int(v->a), arg_int(v->b), arg_int(v->at.ns));
	QUEUE(s, OP_VERDICT, arg_int((int64_t)v->round), arg_int(v->a), arg_int(v->b), arg_int(v->state), arg_int(v->at.ns),
	      arg_text(v->cause), arg_text(v->json), arg_int(v->open));
	QUEUE(s, OP_VERDICT_TRIM, arg_int(v->a), arg_int(v->b), arg_int(STORE_VERDICTS_KEPT));
	return 0;
}

int store_put_record(struct store *s, const struct stored_record *r)
{
	if (store_full(s) || r->len > STORE_RECORD_BYTES_MAX || s->record_bytes + r->len > STORE_RECORDS_WAITING)
		return -1;
	s->record_bytes += r->len;
	QUEUE(s, OP_RECORD, arg_int((int64_t)r->round), arg_int(r->a), arg_int(r->b), arg_int(r->at.ns), arg_int((int64_t)r->len),
	      arg_blob(r->data, r->len));
	QUEUE(s, OP_RECORD_TRIM_PAIR, arg_int(r->a), arg_int(r->b), arg_int(STORE_RECORDS_PAIR_MAX));
	QUEUE(s, OP_RECORD_TRIM, arg_int(STORE_RECORDS_MAX), arg_int(STORE_RECORDS_BYTES_MAX));
	return 0;
}

int store_put_feedback(struct store *s, const struct stored_feedback *f)
{
	if (store_full(s))
		return -1;
	QUEUE(s, OP_FEEDBACK, arg_int(f->at.ns), arg_int((int64_t)f->round), arg_text(f->a), arg_text(f->b), arg_int(f->right),
	      arg_text(f->said), arg_text(f->real), arg_text(f->role));
	return 0;
}

int store_undo_feedback(struct store *s, int64_t number, struct wall now)
{
	if (store_full(s))
		return -1;
	QUEUE(s, OP_FEEDBACK_UNDO, arg_int(number), arg_int(now.ns));
	return 0;
}

/* ---- reading ---- */

static void column_text(sqlite3_stmt *st, int i, char *out, size_t size)
{
	const char *t = (const char *)sqlite3_column_text(st, i);
	str_copy(out, size, t ? t : "");
}

static int column_key(sqlite3_stmt *st, int i, uint8_t out[static KEY_LEN])
{
	if (sqlite3_column_bytes(st, i) != KEY_LEN)
		return -1;
	memcpy(out, sqlite3_column_blob(st, i), KEY_LEN);
	return 0;
}

typedef void row_fn(sqlite3_stmt *st, void *fn_and_arg);

static int read_rows(struct store *s, const char *sql, int64_t limit, row_fn *row, void *ctx, struct err *e)
{
	sqlite3_stmt *st = NULL;
	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
		return db_error(s, "read store.db", e);
	if (sqlite3_bind_parameter_count(st))
		sqlite3_bind_int64(st, 1, limit);
	int rc;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		row(st, ctx);
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : db_error(s, "read store.db", e);
}

struct agent_reader {
	store_agent_fn *fn;
	void *arg;
};

static void agent_row(sqlite3_stmt *st, void *ctx)
{
	struct agent_reader *r = ctx;
	struct stored_agent a = {.id = (uint32_t)sqlite3_column_int64(st, 0),
	                         .kind = (uint8_t)sqlite3_column_int(st, 3),
	                         .boot = (uint64_t)sqlite3_column_int64(st, 5),
	                         .applied = (uint64_t)sqlite3_column_int64(st, 6)};
	column_text(st, 1, a.tenant, sizeof a.tenant);
	column_text(st, 2, a.name, sizeof a.name);
	if (!column_key(st, 4, a.key))
		r->fn(r->arg, &a);
}

int store_agents(struct store *s, store_agent_fn *fn, void *arg, struct err *e)
{
	struct agent_reader r = {fn, arg};
	return read_rows(s, "SELECT id, tenant, name, kind, key, boot, applied FROM agent ORDER BY id", 0, agent_row, &r, e);
}

struct tenant_reader {
	store_tenant_fn *fn;
	void *arg;
};

static void tenant_row(sqlite3_stmt *st, void *ctx)
{
	struct tenant_reader *r = ctx;
	r->fn(r->arg, (const char *)sqlite3_column_text(st, 0));
}

int store_tenants(struct store *s, store_tenant_fn *fn, void *arg, struct err *e)
{
	struct tenant_reader r = {fn, arg};
	return read_rows(s, "SELECT name FROM tenant ORDER BY name", 0, tenant_row, &r, e);
}

struct verdict_reader {
	store_verdict_fn *fn;
	void *arg;
};

static void verdict_row(sqlite3_stmt *st, void *ctx)
{
	struct verdict_reader *r = ctx;
	struct stored_verdict v = {.round = (uint64_t)sqlite3_column_int64(st, 0),
	                           .a = (uint32_t)sqlite3_column_int64(st, 1),
	                           .b = (uint32_t)sqlite3_column_int64(st, 2),
	                           .state = (uint8_t)sqlite3_column_int(st, 3),
	                           .at = {sqlite3_column_int64(st, 4)},
	                           .cause = (const char *)sqlite3_column_text(st, 5),
	                           .json = (const char *)sqlite3_column_text(st, 6),
	                           .open = true};
	r->fn(r->arg, &v);
}

int store_open_verdicts(struct store *s, store_verdict_fn *fn, void *arg, struct err *e)
{
	struct verdict_reader r = {fn, arg};
	return read_rows(s, "SELECT round, a, b, state, at, cause, json FROM verdict WHERE open ORDER BY id", 0, verdict_row, &r,
	                 e);
}

int store_last_verdict(struct store *s, uint32_t a, uint32_t b, store_verdict_fn *fn, void *arg, struct err *e)
{
	struct verdict_reader r = {fn, arg};
	sqlite3_stmt *st = NULL;
	if (sqlite3_prepare_v2(s->db,
	                       "SELECT round, a, b, state, at, cause, json FROM verdict WHERE (a = ?1 AND b = ?2) OR"
	                       " (a = ?2 AND b = ?1) ORDER BY id DESC LIMIT 1",
	                       -1, &st, NULL) != SQLITE_OK)
		return db_error(s, "read store.db", e);
	sqlite3_bind_int64(st, 1, a);
	sqlite3_bind_int64(st, 2, b);
	int rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		verdict_row(st, &r);
	sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : db_error(s, "read store.db", e);
}

int store_verdicts_like(struct store *s, const char *prefix, size_t max, store_verdict_fn *fn, void *arg, struct err *e)
{
	struct verdict_reader r = {fn, arg};
	sqlite3_stmt *st = NULL;
	int rc;
	if (sqlite3_prepare_v2(s->db,
	                       "SELECT round, a, b, state, at, cause, json FROM verdict WHERE substr(printf('%016x', round), 1,"
	                       " length(?1)) = ?1 ORDER BY id DESC LIMIT ?2",
	                       -1, &st, NULL) != SQLITE_OK)
		return db_error(s, "read store.db", e);
	sqlite3_bind_text(st, 1, prefix, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, (int64_t)max);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		verdict_row(st, &r);
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : db_error(s, "read store.db", e);
}

struct record_reader {
	store_record_fn *fn;
	void *arg;
};

static void record_row(sqlite3_stmt *st, void *ctx)
{
	struct record_reader *r = ctx;
	struct stored_record record = {.round = (uint64_t)sqlite3_column_int64(st, 0),
	                               .a = (uint32_t)sqlite3_column_int64(st, 1),
	                               .b = (uint32_t)sqlite3_column_int64(st, 2),
	                               .at = {sqlite3_column_int64(st, 3)},
	                               .data = sqlite3_column_blob(st, 4),
	                               .len = (size_t)sqlite3_column_bytes(st, 4)};
	r->fn(r->arg, &record);
}

int store_record(struct store *s, uint64_t round, store_record_fn *fn, void *arg, struct err *e)
{
	struct record_reader r = {fn, arg};
	return read_rows(s, "SELECT round, a, b, at, data FROM record WHERE round = ?1", (int64_t)round, record_row, &r, e);
}

struct feedback_reader {
	store_feedback_fn *fn;
	void *arg;
};

static void feedback_row(sqlite3_stmt *st, void *ctx)
{
	struct feedback_reader *r = ctx;
	struct stored_feedback f = {.number = sqlite3_column_int64(st, 0),
	                            .at = {sqlite3_column_int64(st, 1)},
	                            .round = (uint64_t)sqlite3_column_int64(st, 2),
	                            .right = sqlite3_column_int(st, 5) != 0,
	                            .undone = sqlite3_column_type(st, 9) != SQLITE_NULL};
	column_text(st, 3, f.a, sizeof f.a);
	column_text(st, 4, f.b, sizeof f.b);
	column_text(st, 6, f.said, sizeof f.said);
	column_text(st, 7, f.real, sizeof f.real);
	column_text(st, 8, f.role, sizeof f.role);
	r->fn(r->arg, &f);
}

int store_feedback(struct store *s, store_feedback_fn *fn, void *arg, struct err *e)
{
	struct feedback_reader r = {fn, arg};
	return read_rows(s, "SELECT id, at, round, a, b, right, said, real, role, undone_at FROM feedback ORDER BY id", 0,
	                 feedback_row, &r, e);
}

struct change_reader {
	store_change_fn *fn;
	void *arg;
};

static void change_row(sqlite3_stmt *st, void *ctx)
{
	struct change_reader *r = ctx;
	struct fact_change c = {.at = {sqlite3_column_int64(st, 1)},
	                        .key = (char *)(uintptr_t)sqlite3_column_text(st, 2),
	                        .was = (char *)(uintptr_t)sqlite3_column_text(st, 3),
	                        .now = (char *)(uintptr_t)sqlite3_column_text(st, 4)};
	r->fn(r->arg, (uint32_t)sqlite3_column_int64(st, 0), &c);
}

int store_changes(struct store *s, size_t max, store_change_fn *fn, void *arg, struct err *e)
{
	struct change_reader r = {fn, arg};
	return read_rows(
	    s,
	    "SELECT agent, at, fact, was, now FROM (SELECT *, row_number() OVER (PARTITION BY agent ORDER BY id DESC) AS n"
	    " FROM fact_change) WHERE n <= ?1 ORDER BY id",
	    (int64_t)max, change_row, &r, e);
}

static int find(sqlite3_stmt *st, const uint8_t key[static KEY_LEN])
{
	sqlite3_reset(st);
	sqlite3_bind_blob(st, 1, key, KEY_LEN, SQLITE_TRANSIENT);
	int rc = sqlite3_step(st);
	return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -1;
}

int store_token(struct store *s, const uint8_t key[static KEY_LEN], struct stored_token *out)
{
	int found = find(s->find_token, key);
	if (found == 1) {
		*out = (struct stored_token){.kind = (uint8_t)sqlite3_column_int(s->find_token, 2),
		                             .expires = {sqlite3_column_int64(s->find_token, 3)},
		                             .uses_left = (uint32_t)sqlite3_column_int64(s->find_token, 4)};
		memcpy(out->key, key, KEY_LEN);
		column_text(s->find_token, 0, out->tenant, sizeof out->tenant);
		column_text(s->find_token, 1, out->name, sizeof out->name);
	}
	sqlite3_reset(s->find_token);
	return found;
}

int store_key(struct store *s, const uint8_t key[static KEY_LEN], struct stored_key *out)
{
	int found = find(s->find_key, key);
	if (found == 1) {
		*out = (struct stored_key){0};
		memcpy(out->key, key, KEY_LEN);
		column_text(s->find_key, 0, out->role, sizeof out->role);
		column_text(s->find_key, 1, out->tenant, sizeof out->tenant);
	}
	sqlite3_reset(s->find_key);
	return found;
}
