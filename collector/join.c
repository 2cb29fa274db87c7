/* join: an agent that shows a token becomes a member. What it is told when it may not says which of the reasons it was. */
#include "collector/sessions.h"

#include "proto/base/log.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

bool name_is_valid(const char *name)
{
	if (!isalnum((unsigned char)name[0]) || strlen(name) >= NAME_MAX_LEN)
		return false;
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			return false;
	return true;
}

/* A host name as an agent name: what is not allowed becomes '-'. */
static void name_from_hostname(const char *hostname, char out[static NAME_MAX_LEN])
{
	size_t n = 0;
	for (const char *c = hostname; *c && n < NAME_MAX_LEN - 8; c++)
		if (isalnum((unsigned char)*c) || (n && strchr("._-", *c)))
			out[n++] = *c;
		else if (n)
			out[n++] = '-';
	out[n] = '\0';
	if (!n)
		str_copy(out, NAME_MAX_LEN, "agent");
}

static bool name_is_taken(const struct collector *c, const char *tenant, const char *name)
{
	for (size_t i = 0; i < fleet_count(c->fleet); i++) {
		const struct member *m = fleet_at(c->fleet, i);
		if (strcmp(m->tenant, tenant) == 0 && strcmp(m->name, name) == 0)
			return true;
	}
	return false;
}

/* The token's name wins, then the agent's wish; a name nobody asked for gets a number when it is taken. */
static int choose_name(const struct collector *c, const struct stored_token *t, const struct msg_join *join,
                       char out[static NAME_MAX_LEN], struct err *e)
{
	const char *asked = t->name[0] ? t->name : join->name;
	if (asked[0]) {
		if (!name_is_valid(asked))
			return err_set(e, "the name has characters that are not allowed (letters, digits, '.', '_' and '-')");
		if (name_is_taken(c, t->tenant, asked))
			return err_set(e, "name taken: tenant %s has an agent %s already", t->tenant, asked);
		str_copy(out, NAME_MAX_LEN, asked);
		return 0;
	}
	char base[NAME_MAX_LEN];
	name_from_hostname(join->hostname, base);
	str_copy(out, NAME_MAX_LEN, base);
	for (unsigned n = 2; name_is_taken(c, t->tenant, out); n++)
		snprintf(out, NAME_MAX_LEN, "%.50s-%u", base, n);
	return 0;
}

static int check_token(const struct stored_token *t, const struct msg_join *join, struct wall now, struct err *e)
{
	if (!wire_common_version(PROTOCOL_VERSION_MIN, PROTOCOL_VERSION, join->version_min, join->version_max))
		return err_set(e, "protocol: the collector speaks versions %d to %d, the agent %u to %u", PROTOCOL_VERSION_MIN,
		               PROTOCOL_VERSION, join->version_min, join->version_max);
	if (t->uses_left == 0)
		return err_set(e, "the token was used already: make a new one with `bothways token`");
	if (now.ns >= t->expires.ns) {
		char at[WALL_TEXT_MAX];
		return err_set(e, "the token expired at %s: make a new one with `bothways token`", wall_format(t->expires, at));
	}
	return 0;
}

static void refuse(struct sessions *s, struct collector *c, struct channel *ch, const char *why, bool final)
{
	struct msg *m = msg_new(MSG_REFUSED);
	str_copy(m->u.refused.reason, sizeof m->u.refused.reason, why);
	m->u.refused.final = final;
	sessions_answer(s, channel_id(ch), m);
	msg_free(m);
	c->count.joins_refused++;
	log_info("refused a join: %s", why);
}

static void say_joined(struct sessions *s, struct channel *ch, const struct member *m)
{
	struct msg *a = msg_new(MSG_JOINED);
	str_copy(a->u.joined.name, sizeof a->u.joined.name, m->name);
	str_copy(a->u.joined.tenant, sizeof a->u.joined.tenant, m->tenant);
	a->u.joined.kind = m->kind;
	sessions_answer(s, channel_id(ch), a);
	msg_free(a);
}

/* Stored before anybody hears of it. */
static int enrol(struct collector *c, struct sessions *s, const struct stored_token *t, const struct msg_join *join,
                 const char *name, struct member **out, struct err *e)
{
	if (collector_commit(c, e))
		return -1;
	struct member *m = fleet_add(c->fleet, 0, name, t->tenant, t->kind, join->agent_key);
	struct stored_agent a = {.id = m->id, .kind = t->kind};
	str_copy(a.name, sizeof a.name, name);
	str_copy(a.tenant, sizeof a.tenant, t->tenant);
	memcpy(a.key, join->agent_key, KEY_LEN);
	if (store_put_agent(c->store, &a, wall_now()) || store_spend_token(c->store, t->key) || collector_commit(c, e)) {
		store_forget_waiting(c->store);
		fleet_remove(c->fleet, m);
		return -1;
	}
	sessions_restore(s, &a);
	*out = m;
	return 0;
}

void join_handle(struct sessions *s, struct collector *c, struct channel *ch, const struct msg_join *join)
{
	struct stored_token t;
	if (store_token(c->store, channel_key(ch), &t) != 1)
		return; /* a token removed since the handshake */
	struct member *m = fleet_by_key(c->fleet, join->agent_key);
	if (m && strcmp(m->tenant, t.tenant) == 0 && m->kind == t.kind) {
		say_joined(s, ch, m); /* the answer got lost: say it again */
		return;
	}
	struct err e = {0};
	char name[NAME_MAX_LEN];
	if (m)
		err_set(&e, "this key belongs to an agent of another tenant or kind");
	if (m || check_token(&t, join, wall_now(), &e) || choose_name(c, &t, join, name, &e)) {
		refuse(s, c, ch, e.text, true);
		return;
	}
	if (enrol(c, s, &t, join, name, &m, &e)) {
		refuse(s, c, ch, e.text, false); /* our trouble, not the token's */
		return;
	}
	c->count.joins++;
	log_info("%s/%s joined (%s)", m->tenant, m->name, m->kind == AGENT_HOST ? "host" : "guest");
	say_joined(s, ch, m);
}
