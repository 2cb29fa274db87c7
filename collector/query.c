#include "collector/query.h"

#include "collector/answer.h"
#include "collector/bundle_answer.h"
#include "collector/lint_answer.h"
#include "collector/rounds.h"
#include "collector/scope.h"
#include "collector/sessions.h"
#include "collector/verdict_json.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/conf.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_BYTES_MAX  (MSG_BYTES_MAX - 4096)
#define TOKEN_TTL_DEFAULT 3600
#define TOKEN_TTL_MAX     (365 * 86400LL)
#define TOKEN_USES_MAX    100000

/* ---- replying ---- */

static void send_over_bus(const struct reply *r, bool more, int exit_code, const char *json)
{
	struct msg *m = msg_new(MSG_ANSWER);
	m->u.answer.id = r->id;
	m->u.answer.more = more;
	m->u.answer.exit_code = (uint8_t)exit_code;
	m->u.answer.len = strlen(json);
	m->u.answer.json = mem_strdup(json);
	sessions_answer(r->c->sessions, r->channel, m);
	msg_free(m);
}

void reply_send(const struct reply *r, bool more, int exit_code, const char *json)
{
	if (r->send) {
		r->send(r->arg, more, exit_code, json);
		return;
	}
	if (strlen(json) > ANSWER_BYTES_MAX) {
		r->c->count.answers_too_large++;
		reply_error(r, "the answer is too large for one message: narrow it with --tenant, or ask over HTTP");
		return;
	}
	send_over_bus(r, more, exit_code, json);
}

void reply_blob(const struct reply *r, const void *data, size_t len)
{
	if (r->send) /* who is asked otherwise gets documents only */
		return;
	struct msg *m = msg_new(MSG_ANSWER);
	m->u.answer.id = r->id;
	m->u.answer.more = true;
	m->u.answer.json = mem_strdup("");
	m->u.answer.blob_len = len;
	m->u.answer.blob = mem_alloc(len ? len : 1);
	memcpy(m->u.answer.blob, data, len);
	sessions_answer(r->c->sessions, r->channel, m);
	msg_free(m);
}

void reply_document(const struct reply *r, int exit_code, const json_t *doc)
{
	json_t *scoped = doc && r->tenant[0] ? scope_for_tenant(doc, r->tenant) : NULL;
	char *json = doc ? json_dumps(scoped ? scoped : doc, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
	if (json)
		reply_send(r, false, exit_code, json);
	else
		reply_error(r, "internal: the answer could not be written as JSON");
	free(json);
	json_decref(scoped);
}

static void reply_json(const struct reply *r, int exit_code, json_t *doc)
{
	reply_document(r, exit_code, doc);
	json_decref(doc);
}

void reply_error(const struct reply *r, const char *text)
{
	json_t *doc = json_object();
	json_object_set_new(doc, "error", json_text(text));
	reply_json(r, 1, doc);
}

/* ---- arguments ---- */

static bool is_option(const char *arg) { return strncmp(arg, "--", 2) == 0; }

const char *query_option(const struct msg_query *q, const char *name)
{
	size_t n = strlen(name);
	for (size_t i = 1; i < q->argc; i++)
		if (is_option(q->args[i]) && strncmp(q->args[i] + 2, name, n) == 0 &&
		    (q->args[i][2 + n] == '=' || q->args[i][2 + n] == '\0'))
			return q->args[i][2 + n] ? q->args[i] + 3 + n : "";
	return NULL;
}

const char *query_word(const struct msg_query *q, size_t i)
{
	for (size_t k = 1; k < q->argc; k++)
		if (!is_option(q->args[k]) && i-- == 0)
			return q->args[k];
	return NULL;
}

static int number_option(const struct msg_query *q, const char *name, long min, long max, long *out, struct err *e)
{
	const char *text = query_option(q, name);
	char *end;
	if (!text)
		return 0;
	long n = strtol(text, &end, 10);
	if (!*text || *end || n < min || n > max)
		return err_set(e, "--%s: not a number from %ld to %ld: %s", name, min, max, text);
	*out = n;
	return 0;
}

/* ---- the commands ---- */

typedef void query_fn(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *r);

/* The tenant somebody may see and wants to see. -1: it does not exist, or not for them. */
static int tenant_option(const struct collector *c, const struct asker *who, const struct msg_query *q, const char **out,
                         struct err *e)
{
	const char *wish = query_option(q, "tenant");
	*out = who->tenant ? who->tenant : wish;
	if (!wish)
		return 0;
	for (size_t i = 0; i < fleet_count(c->fleet); i++)
		if (strcmp(fleet_at(c->fleet, i)->tenant, wish) == 0 && (!who->tenant || strcmp(who->tenant, wish) == 0))
			return 0;
	return err_set(e, "no agent of tenant %s is known", wish);
}

static void reply_tenant_view(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *r,
                              json_t *(*make)(const struct collector *, const char *), bool judge)
{
	struct err e;
	const char *tenant;
	if (tenant_option(c, who, q, &tenant, &e)) {
		reply_error(r, e.text);
		return;
	}
	reply_json(r, judge && answer_pair_counts(c, tenant).bad ? 2 : 0, make(c, tenant));
}

static void on_status(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *r)
{
	reply_tenant_view(c, who, q, r, answer_status, true);
}

static void on_agents(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *r)
{
	reply_tenant_view(c, who, q, r, answer_agents, false);
}

static void on_mesh(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *r)
{
	reply_tenant_view(c, who, q, r, answer_mesh, true);
}

static void on_facts(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *r)
{
	struct err e;
	const struct member *m = fleet_find(c->fleet, query_word(q, 0), who->tenant, &e);
	if (!m)
		reply_error(r, e.text);
	else
		reply_json(r, 0, query_option(q, "changes") ? answer_changes(c, m) : answer_facts(m));
}

static void on_causes(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *r)
{
	(void)who;
	struct err e;
	const char *id = query_word(q, 0);
	json_t *doc = answer_causes(c->catalogue, id);
	if (doc) {
		reply_json(r, 0, doc);
		return;
	}
	err_set(&e, "the catalogue has no cause %s: `bothways causes` lists them", id);
	reply_error(r, e.text);
}

static void on_lint(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *r)
{
	struct err e;
	const char *name = query_word(q, 0), *tenant;
	const struct member *of = name ? fleet_find(c->fleet, name, who->tenant, &e) : NULL;
	if ((name && !of) || tenant_option(c, who, q, &tenant, &e)) {
		reply_error(r, e.text);
		return;
	}
	json_t *doc = query_option(q, "checks") ? lint_answer_checks() : lint_answer(c, tenant, of);
	reply_json(r, lint_exit_code(doc), doc);
}

/* The two agents that a question names. */
static int pair_words(struct collector *c, const struct asker *who, const struct msg_query *q, struct member **a, struct member **b,
                      struct err *e)
{
	if (!(*a = fleet_find(c->fleet, query_word(q, 0), who->tenant, e)) ||
	    !(*b = fleet_find(c->fleet, query_word(q, 1), who->tenant, e)))
		return -1;
	return *a == *b ? err_set(e, "%s and %s are one and the same agent", query_word(q, 0), query_word(q, 1)) : 0;
}

enum brings { BRINGS_VERDICT, BRINGS_CAPTURE, BRINGS_BUNDLE };

static void ask_round(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *r,
                      enum brings what)
{
	struct err e;
	long service = 0;
	struct round_wish wish = {.capture = what == BRINGS_CAPTURE, .bundle = what == BRINGS_BUNDLE};
	if (number_option(q, "service", 1, 65535, &service, &e) || pair_words(c, who, q, &wish.a, &wish.b, &e)) {
		reply_error(r, e.text);
		return;
	}
	wish.service_port = (uint16_t)service;
	wish.deep = query_option(q, "deep") != NULL;
	wish.why = query_option(q, "why") != NULL;
	if (rounds_ask(c->rounds, &wish, r, &e))
		reply_error(r, e.text);
}

static void on_diagnose(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *r)
{
	ask_round(c, who, q, r, BRINGS_VERDICT);
}

static void on_capture(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *r)
{
	ask_round(c, who, q, r, BRINGS_CAPTURE);
}

/* The last round of the pair as it was; `--now` makes one. */
static void on_trace(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *r)
{
	struct err e;
	struct member *a, *b;
	if (pair_words(c, who, q, &a, &b, &e)) {
		reply_error(r, e.text);
		return;
	}
	if (query_option(q, "now")) {
		ask_round(c, who, q, r, BRINGS_VERDICT);
		return;
	}
	json_t *doc = answer_trace(c, a, b, &e);
	if (doc)
		reply_json(r, verdict_doc_exit_code(doc), doc);
	else
		reply_error(r, e.text);
}

/* It holds what all the machines on the path say of themselves: nothing for a tenant's key. */
static void on_bundle(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *r)
{
	if (who->tenant)
		reply_error(r, "a bundle holds the facts of every machine on the path: it needs a key that sees all tenants");
	else if (!query_option(q, "now"))
		bundle_query(c, q, r);
	else if (!query_word(q, 1))
		reply_error(r, "--now measures a pair: name both of it");
	else
		ask_round(c, who, q, r, BRINGS_BUNDLE);
}

static void on_feedback(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *r)
{
	if (strcmp(who->role, "admin") != 0 && strcmp(who->role, "operator") != 0)
		reply_error(r, "feedback needs a key of role admin or operator");
	else
		feedback_query(c, who, q, r);
}

static int token_options(const struct msg_query *q, struct stored_token *t, int64_t *ttl, struct err *e)
{
	const char *tenant = query_option(q, "tenant"), *kind = query_option(q, "kind"), *name = query_option(q, "name"),
	           *wish = query_option(q, "ttl");
	long uses = 1;
	if (!tenant || !name_is_valid(tenant))
		return err_set(e, tenant ? "not a tenant's name (letters, digits, '.', '_' and '-'): %s" : "--tenant is missing",
		               tenant);
	if (!kind || (strcmp(kind, "host") != 0 && strcmp(kind, "guest") != 0))
		return err_set(e, "--kind is to be host or guest");
	if ((strcmp(kind, "host") == 0) != (strcmp(tenant, "fleet") == 0))
		return err_set(e, "hosts belong to the tenant fleet, and only they");
	if (name && !name_is_valid(name))
		return err_set(e, "not an agent's name (letters, digits, '.', '_' and '-'): %s", name);
	if (wish && (duration_parse(wish, ttl) || *ttl < 1 || *ttl > TOKEN_TTL_MAX))
		return err_set(e, "--ttl: not a duration like 90s, 10m, 1h or 2d: %s", wish);
	if (number_option(q, "uses", 1, TOKEN_USES_MAX, &uses, e))
		return -1;
	if (name && uses != 1)
		return err_set(e, "a token with a name is for one agent: --uses %ld makes no sense with it", uses);
	str_copy(t->tenant, sizeof t->tenant, tenant);
	str_copy(t->name, sizeof t->name, name ? name : "");
	t->kind = strcmp(kind, "host") == 0 ? AGENT_HOST : AGENT_GUEST;
	t->uses_left = (uint32_t)uses;
	return 0;
}

static int make_token(struct collector *c, const struct msg_query *q, char text[static TOKEN_TEXT_MAX], struct wall *expires,
                      struct err *e)
{
	struct stored_token stored = {0};
	struct token token;
	struct keypair pair;
	int64_t ttl = TOKEN_TTL_DEFAULT;
	if (token_options(q, &stored, &ttl, e))
		return -1;
	stored.expires.ns = wall_now().ns + ttl * 1000000000;
	token_make(&token, c->advertise, c->key.pub);
	token_keypair(&token, &pair);
	memcpy(stored.key, pair.pub, KEY_LEN);
	if (token_format(&token, text))
		return err_set(e, "the advertised endpoint is too long for a token");
	if (collector_commit(c, e) || store_put_token(c->store, &stored, wall_now()))
		return -1;
	if (collector_commit(c, e)) {
		store_forget_waiting(c->store);
		return -1;
	}
	*expires = stored.expires;
	return 0;
}

static void on_token(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *r)
{
	(void)who;
	struct err e = {.text = "the store takes no more: its disk is failing"};
	char text[TOKEN_TEXT_MAX], at[WALL_TEXT_MAX];
	struct wall expires;
	if (make_token(c, q, text, &expires, &e))
		reply_error(r, e.text);
	else
		reply_json(r, 0,
		           json_pack("{s:s, s:s, s:s, s:s}", "schema", "bothways.token/1", "token", text, "endpoint", c->advertise,
		                     "expires", wall_format(expires, at)));
}

static const struct command {
	const char *name;
	size_t words_min, words_max;
	bool admin;
	query_fn *fn;
} COMMANDS[] = {
    {"token", 0, 0, true, on_token},    {"status", 0, 0, false, on_status},     {"agents", 0, 0, false, on_agents},
    {"mesh", 0, 0, false, on_mesh},     {"diagnose", 2, 2, false, on_diagnose}, {"facts", 1, 1, false, on_facts},
    {"causes", 0, 1, false, on_causes}, {"capture", 2, 2, false, on_capture},   {"trace", 2, 2, false, on_trace},
    {"bundle", 1, 2, false, on_bundle}, {"feedback", 0, 1, false, on_feedback}, {"lint", 0, 1, false, on_lint},
};

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < sizeof COMMANDS / sizeof *COMMANDS; i++)
		if (strcmp(COMMANDS[i].name, name) == 0)
			return &COMMANDS[i];
	return NULL;
}

/* Who sees all is said, never implied: a tenant's key that names no tenant, or a role we do not know, sees nothing. */
static int check_role(const struct asker *who, struct err *e)
{
	static const char *const all[] = {"admin", "operator", "viewer"};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (strcmp(who->role, all[i]) == 0)
			return 0;
	if (strcmp(who->role, "tenant") == 0 && who->tenant && who->tenant[0])
		return 0;
	return err_set(e, "this key may not ask anything: role %s", who->role[0] ? who->role : "none");
}

static int check_query(const struct command *cmd, const struct asker *who, const struct msg_query *q, struct err *e)
{
	size_t words = 0;
	while (query_word(q, words))
		words++;
	if (!cmd)
		return err_set(e, "the collector knows no command %s", q->argc ? q->args[0] : "");
	if (words < cmd->words_min || words > cmd->words_max)
		return err_set(e, "%s takes %zu to %zu names, not %zu", cmd->name, cmd->words_min, cmd->words_max, words);
	if (cmd->admin && strcmp(who->role, "admin") != 0)
		return err_set(e, "%s needs a key of role admin, this one is %s", cmd->name, who->role);
	return check_role(who, e);
}

void query_run(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *reply)
{
	struct err e;
	struct reply scoped = *reply;
	const struct command *cmd = command_find(q->argc ? q->args[0] : "");
	c->count.queries++;
	str_copy(scoped.tenant, sizeof scoped.tenant, who->tenant ? who->tenant : "");
	if (check_query(cmd, who, q, &e))
		reply_error(&scoped, e.text);
	else
		cmd->fn(c, who, q, &scoped);
}
