#include "agent/facts/ovs.h"

#include "agent/facts/ovs_model.h"
#include "agent/facts/ovs_rpc.h"
#include "agent/facts/source.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_MS     5000 /* after a daemon did not answer in time */
#define DRAIN_MAX    64   /* messages at once */
#define PATH_MAX_LEN 160

enum { ID_MONITOR = 1, ID_SELECT = 2, ID_FIRST = 16 };

static struct {
	char dir[PATH_MAX_LEN - 48]; /* "" = none */
	struct ovs_rpc db, ctl;
	bool known;   /* the model was read at least once */
	bool dirty;   /* it has changed since */
	bool watched; /* the database tells when it does */
	struct mono not_before;
	struct ovs_model model;
	struct loop *loop;
	struct loop_source *source;
	loop_fn *changed;
	void *arg;
} ovs;

/* ---- the database ---- */

static void on_db(void *arg, int fd, int what);

/* The loop watches the connection that is open now. */
static void source_renew(void)
{
	loop_remove(ovs.source);
	ovs.source = ovs.loop && ovs.db.open ? loop_fd(ovs.loop, ovs.db.fd, LOOP_READ, on_db, NULL) : NULL;
}

static void db_lost(void)
{
	ovs_rpc_close(&ovs.db);
	ovs.watched = false;
	source_renew();
}

static bool has_id(const json_t *m, int id)
{
	const json_t *v = json_object_get(m, "id");
	return json_is_integer(v) && json_integer_value(v) == id && !json_object_get(m, "method");
}

/* What the database says unasked. */
static void db_heard(const json_t *m)
{
	const char *method = json_string_value(json_object_get(m, "method"));

	if (method && strcmp(method, "update") == 0)
		ovs.dirty = true;
	if (has_id(m, ID_MONITOR))
		ovs.watched = json_is_object(json_object_get(m, "result"));
}

static void db_drain(void)
{
	struct err e = {""};
	json_t *m;

	for (int i = 0; i < DRAIN_MAX && (m = ovs_rpc_next(&ovs.db, (struct mono){0}, &e)); i++) {
		db_heard(m);
		json_decref(m);
	}
	if (!ovs.db.open)
		db_lost();
}

static void on_db(void *arg, int fd, int what)
{
	(void)arg;
	(void)fd;
	(void)what;
	db_drain();
	if (ovs.dirty || !ovs.db.open)
		ovs.changed(ovs.arg);
}

static int db_open(struct mono deadline, struct err *e)
{
	char path[PATH_MAX_LEN];

	snprintf(path, sizeof path, "%s/db.sock", ovs.dir);
	if (ovs_rpc_open(&ovs.db, path, e) < 0)
		return -1;
	ovs.dirty = true;
	if (ovs_rpc_ask(&ovs.db, ID_MONITOR, "monitor", ovs_monitor(), deadline, e) < 0)
		return -1;
	source_renew();
	return 0;
}

/* The answer to `id`, or NULL with the reason; then the connection is closed: a late answer would be taken for another's. */
static json_t *answer_wait(struct ovs_rpc *r, int id, struct mono deadline, void (*other)(const json_t *), struct err *e)
{
	json_t *m;

	while ((m = ovs_rpc_next(r, deadline, e)) && !has_id(m, id)) {
		if (other)
			other(m);
		json_decref(m);
		if (mono_reached(deadline, mono_now())) {
			m = NULL;
			break;
		}
	}
	if (!m && r->open) {
		ovs_rpc_close(r);
		ovs.not_before = mono_add_ms(mono_now(), PAUSE_MS);
		err_set(e, "Open vSwitch does not answer in time");
	}
	return m;
}

static int model_renew(struct mono deadline, struct err *e)
{
	struct ovs_model fresh = {0};
	json_t *m;
	int failed;

	ovs.dirty = false;
	if (ovs_rpc_ask(&ovs.db, ID_SELECT, "transact", ovs_select(), deadline, e) < 0)
		return -1;
	m = answer_wait(&ovs.db, ID_SELECT, deadline, db_heard, e);
	if (!m)
		return -1;
	failed = ovs_model_read(&fresh, json_object_get(m, "result"), e);
	json_decref(m);
	ovs_model_clear(failed ? &fresh : &ovs.model);
	if (failed)
		return -1;
	ovs.model = fresh;
	ovs.known = true;
	return 0;
}

static void model_forget(void)
{
	ovs_model_clear(&ovs.model);
	ovs.known = false;
}

/* -1 with an empty reason: there is no Open vSwitch. What was known stays known when it is silent for a while. */
static int model_refresh(struct mono deadline, struct err *e)
{
	if (ovs.db.open)
		db_drain();
	if (!ovs.db.open && db_open(deadline, e) < 0) {
		if (errno == ENOENT) {
			e->text[0] = '\0';
			model_forget();
		}
		return -1;
	}
	if (ovs.known && !ovs.dirty && ovs.watched)
		return 0;
	if (model_renew(deadline, e) == 0)
		return 0;
	ovs.dirty = true;
	if (!ovs.db.open)
		db_lost();
	return -1;
}

/* ---- ovs-vswitchd ---- */

/* Its socket has its process id in the name, its pid file tells it. */
static int ctl_path(char *out, size_t size, struct err *e)
{
	char path[PATH_MAX_LEN];
	long pid = 0;
	FILE *f;

	snprintf(path, sizeof path, "%s/ovs-vswitchd.pid", ovs.dir);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%ld", &pid) != 1)
		pid = 0;
	if (f)
		fclose(f);
	if (pid <= 0)
		return err_set(e, "ovs-vswitchd does not run");
	snprintf(out, size, "%s/ovs-vswitchd.%ld.ctl", ovs.dir, pid);
	return 0;
}

static int ctl_open(struct err *e)
{
	char path[PATH_MAX_LEN];

	if (ovs.ctl.open)
		return 0;
	if (ctl_path(path, sizeof path, e) < 0)
		return -1;
	return ovs_rpc_open(&ovs.ctl, path, e) < 0 ? err_prefix(e, "ovs-vswitchd") : 0;
}

/* A connection from before may be one to a daemon that was restarted since. */
static int ctl_fresh(struct mono deadline, struct err *e)
{
	if (ovs.ctl.open)
		json_decref(ovs_rpc_next(&ovs.ctl, (struct mono){0}, e));
	(void)deadline;
	return ctl_open(e);
}

static int entries_refresh(struct mono deadline, struct err *e)
{
	struct ovs_model *m = &ovs.model;

	if (m->bridge_count == 0)
		return 0;
	if (ctl_fresh(deadline, e) < 0) {
		ovs_entries_clear(m);
		return -1;
	}
	for (size_t i = 0; i < m->bridge_count; i++)
		if (ovs_rpc_ask(&ovs.ctl, ID_FIRST + (int)i, "fdb/show", json_pack("[s]", m->bridges[i].name), deadline, e) < 0)
			return -1;
	for (size_t i = 0; i < m->bridge_count; i++) {
		json_t *a = answer_wait(&ovs.ctl, ID_FIRST + (int)i, deadline, NULL, e);

		if (!a)
			return -1;
		if (i == 0)
			ovs_entries_clear(m);
		ovs_entries_read(m, i, json_string_value(json_object_get(a, "result")));
		json_decref(a);
	}
	return 0;
}

/* ---- the source ---- */

static void problem_note(struct snapshot *s, const struct err *e)
{
	struct text *t = e->text[0] ? SNAP_ADD(s, texts, text_count, SNAP_TEXTS_MAX) : NULL;

	if (!t)
		return;
	str_copy(t->name, sizeof t->name, "ovs.problem");
	str_copy(t->text, sizeof t->text, e->text);
}

int fact_read_ovs(struct snapshot *s, struct err *e)
{
	struct mono now = mono_now(), deadline = mono_add_ms(now, OVS_MS_MAX);
	struct err why = {""};
	bool silent = ovs.not_before.ns && mono_before(now, ovs.not_before);
	int failed = 0;

	if (!ovs.dir[0])
		return 0;
	if (silent)
		failed = err_set(&why, "Open vSwitch did not answer in time a moment ago");
	else
		failed = model_refresh(deadline, &why);
	if (!silent && ovs.known && entries_refresh(deadline, failed ? NULL : &why) < 0)
		failed = -1;
	if (ovs.known)
		ovs_overlay(&ovs.model, s);
	problem_note(s, &why);
	return failed && why.text[0] ? err_set(e, "%s", why.text) : 0;
}

void ovs_use(const char *dir)
{
	ovs_rpc_close(&ovs.ctl);
	db_lost();
	model_forget();
	ovs.not_before = (struct mono){0};
	if (str_copy(ovs.dir, sizeof ovs.dir, dir) < 0)
		ovs.dir[0] = '\0'; /* no socket has so long a name */
}

void ovs_watch(struct loop *loop, loop_fn *changed, void *arg)
{
	ovs.loop = loop;
	ovs.changed = changed;
	ovs.arg = arg;
	source_renew();
}

/* ---- questions of a round ---- */

bool ovs_port_of(uint32_t link, uint32_t *number, const char **bridge)
{
	const struct ovs_model *m = &ovs.model;

	for (size_t i = 0; link && i < m->iface_count; i++) {
		if (m->ifaces[i].index != link || !m->ifaces[i].number)
			continue;
		*number = m->ifaces[i].number;
		*bridge = m->bridges[m->ports[m->ifaces[i].port].bridge].name;
		return true;
	}
	return false;
}

static json_t *trace_params(const struct ovs_question *q)
{
	return q->answer_of_known
	           ? json_pack("[s,s,s,s,s,s]", q->bridge, q->flow, "--ct-next", "trk,est,rpl", "--ct-next", "trk,est,rpl")
	           : json_pack("[s,s]", q->bridge, q->flow);
}

int ovs_trace(struct ovs_question *q, size_t count, struct err *e)
{
	struct mono deadline = mono_add_ms(mono_now(), OVS_MS_MAX);

	if (count && ctl_fresh(deadline, e) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (ovs_rpc_ask(&ovs.ctl, ID_FIRST + (int)i, "ofproto/trace", trace_params(&q[i]), deadline, e) < 0)
			return -1;
	for (size_t i = 0; i < count; i++) {
		json_t *a = answer_wait(&ovs.ctl, ID_FIRST + (int)i, deadline, NULL, e);

		if (!a)
			return -1;
		q[i].told = mem_strdup(json_string_value(json_object_get(a, "result")));
		json_decref(a);
	}
	return 0;
}
