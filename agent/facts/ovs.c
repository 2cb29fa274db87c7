#include "agent/facts/ovs.h"

#include "agent/facts/ovs_model.h"
#include "agent/facts/ovs_rpc.h"
#include "agent/facts/source.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_MS     2000 /* after a daemon did not answer in time, it is not waited for */
#define DRAIN_MAX    64   /* messages at once */
#define ENTRIES_MS   1000 /* nobody tells when a forwarding table changes: it is asked */
#define PATH_MAX_LEN 160

enum { ID_MONITOR = 1, ID_SELECT = 2, ID_FIRST = 16 };

static struct {
	char dir[PATH_MAX_LEN - 48]; /* "" = none */
	struct ovs_rpc db, ctl;
	bool known;                      /* the model was read at least once */
	bool dirty;                      /* it has changed since */
	bool watched;                    /* the database tells when it does */
	bool asked;                      /* for the configuration, and not answered yet */
	struct mono db_pause, ctl_pause; /* until when it is not waited for */
	struct ovs_model model;
	struct loop *loop;
	struct loop_source *source, *timer; /* the timer: while there are bridges */
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
	ovs.watched = ovs.asked = false;
	source_renew();
}

static bool has_id(const json_t *m, int id)
{
	const json_t *v = json_object_get(m, "id");
	return json_is_integer(v) && json_integer_value(v) == id && !json_object_get(m, "method");
}

static bool model_take(const json_t *result, struct err *e)
{
	struct ovs_model fresh = {0};

	ovs.asked = false;
	if (ovs_model_read(&fresh, result, e) < 0) {
		ovs_model_clear(&fresh);
		return false;
	}
	ovs_model_clear(&ovs.model); /* with its entries: the bridges may stand in another order */
	ovs.model = fresh;
	return ovs.known = true;
}

/* What the database says: the answer to our question, which may come late, and changes. True when it is news. */
static bool db_heard(const json_t *m, struct err *e)
{
	const char *method = json_string_value(json_object_get(m, "method"));

	if (has_id(m, ID_MONITOR))
		ovs.watched = json_is_object(json_object_get(m, "result"));
	if (has_id(m, ID_SELECT) && ovs.asked)
		return model_take(json_object_get(m, "result"), e);
	if (!method || strcmp(method, "update"))
		return false;
	return ovs.dirty = true;
}

static bool db_drain(void)
{
	struct err e = {""};
	bool news = false;
	json_t *m;

	for (int i = 0; i < DRAIN_MAX && (m = ovs_rpc_next(&ovs.db, (struct mono){0}, &e)); i++) {
		news |= db_heard(m, &e);
		json_decref(m);
	}
	if (!ovs.db.open)
		db_lost();
	return news;
}

static void on_db(void *arg, int fd, int what)
{
	(void)arg;
	(void)fd;
	(void)what;
	if (!db_drain() && ovs.db.open)
		return;
	ovs.db_pause = (struct mono){0};
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

static bool is_paused(struct mono until) { return until.ns && mono_before(mono_now(), until); }

static int too_slow(struct mono *pause, struct err *e)
{
	*pause = mono_add_ms(mono_now(), PAUSE_MS);
	return err_set(e, "Open vSwitch does not answer in time");
}

/* Asks, and waits for the answer until the deadline: later it is taken as it comes. */
static int model_renew(struct mono deadline, struct err *e)
{
	json_t *m;

	if (!ovs.asked && ovs_rpc_ask(&ovs.db, ID_SELECT, "transact", ovs_select(), deadline, e) < 0)
		return -1;
	if (!ovs.asked)
		ovs.dirty = false;
	ovs.asked = true;
	while (ovs.asked && (m = ovs_rpc_next(&ovs.db, deadline, e))) {
		bool refused = has_id(m, ID_SELECT) && !db_heard(m, e);

		if (!has_id(m, ID_SELECT))
			db_heard(m, e);
		json_decref(m);
		if (refused)
			return -1;
		if (mono_reached(deadline, mono_now()))
			break;
	}
	if (!ovs.asked)
		return 0;
	return ovs.db.open ? too_slow(&ovs.db_pause, e) : -1;
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
	if (is_paused(ovs.db_pause))
		return err_set(e, "Open vSwitch does not answer in time");
	if (!ovs.db.open && db_open(deadline, e) < 0) {
		if (errno == ENOENT) {
			e->text[0] = '\0';
			model_forget();
		}
		return -1;
	}
	if (ovs.known && !ovs.dirty && !ovs.asked && ovs.watched)
		return 0;
	if (model_renew(deadline, e) == 0)
		return 0;
	ovs.dirty = true;
	if (!ovs.db.open)
		db_lost();
	return -1;
}

/* ---- ovs-vswitchd ---- */

/* The answer to `id`, or NULL with the reason; then the connection is closed: a late answer would be taken for another's. */
static json_t *answer_wait(int id, struct mono deadline, struct err *e)
{
	json_t *m;

	while ((m = ovs_rpc_next(&ovs.ctl, deadline, e)) && !has_id(m, id)) {
		json_decref(m);
		if (mono_reached(deadline, mono_now())) {
			m = NULL;
			break;
		}
	}
	if (!m && ovs.ctl.open) {
		ovs_rpc_close(&ovs.ctl);
		too_slow(&ovs.ctl_pause, e);
	}
	return m;
}

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

	if (m->bridge_count == 0 || is_paused(ovs.ctl_pause))
		return 0;
	if (ctl_fresh(deadline, e) < 0) {
		ovs_entries_clear(m);
		return -1;
	}
	for (size_t i = 0; i < m->bridge_count; i++)
		if (ovs_rpc_ask(&ovs.ctl, ID_FIRST + (int)i, "fdb/show", json_pack("[s]", m->bridges[i].name), deadline, e) < 0)
			return -1;
	for (size_t i = 0; i < m->bridge_count; i++) {
		json_t *a = answer_wait(ID_FIRST + (int)i, deadline, e);

		if (!a)
			return -1;
		if (i == 0)
			ovs_entries_clear(m);
		ovs_entries_read(m, i, json_string_value(json_object_get(a, "result")));
		json_decref(a);
	}
	return 0;
}

/* Order does not matter, and age is not in it. */
static uint64_t entries_digest(const struct ovs_model *m)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < m->entry_count; i++) {
		const struct ovs_entry *in = &m->entries[i];
		uint64_t h = (uint64_t)in->bridge << 48 ^ (uint64_t)in->number << 16 ^ in->vlan;

		for (size_t k = 0; k < sizeof in->mac.b; k++)
			h = (h ^ in->mac.b[k]) * 0x100000001b3;
		sum += h;
	}
	return sum;
}

static void on_timer(void *arg)
{
	uint64_t before = entries_digest(&ovs.model);

	(void)arg;
	entries_refresh(mono_add_ms(mono_now(), OVS_MS_MAX), NULL);
	if (entries_digest(&ovs.model) != before)
		ovs.changed(ovs.arg);
}

static void timer_renew(void)
{
	bool wanted = ovs.loop && ovs.known && ovs.model.bridge_count;

	if (wanted && !ovs.timer)
		ovs.timer = loop_every_ms(ovs.loop, ENTRIES_MS, on_timer, NULL);
	if (wanted || !ovs.timer)
		return;
	loop_remove(ovs.timer);
	ovs.timer = NULL;
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
	struct mono deadline = mono_add_ms(mono_now(), OVS_MS_MAX);
	struct err why = {""};
	int failed;

	if (!ovs.dir[0])
		return 0;
	failed = model_refresh(deadline, &why);
	if (ovs.known && entries_refresh(deadline, failed ? NULL : &why) < 0)
		failed = -1;
	if (ovs.known)
		ovs_overlay(&ovs.model, s);
	timer_renew();
	problem_note(s, &why);
	return failed && why.text[0] ? err_set(e, "%s", why.text) : 0;
}

void ovs_use(const char *dir)
{
	ovs_rpc_close(&ovs.ctl);
	db_lost();
	model_forget();
	ovs.db_pause = ovs.ctl_pause = (struct mono){0};
	if (str_copy(ovs.dir, sizeof ovs.dir, dir) < 0)
		ovs.dir[0] = '\0'; /* no socket has so long a name */
}

void ovs_watch(struct loop *loop, loop_fn *changed, void *arg)
{
	ovs.loop = loop;
	ovs.changed = changed;
	ovs.arg = arg;
	source_renew();
	timer_renew();
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
		json_t *a = answer_wait(ID_FIRST + (int)i, deadline, e);

		if (!a)
			return -1;
		q[i].told = mem_strdup(json_string_value(json_object_get(a, "result")));
		json_decref(a);
	}
	return 0;
}
