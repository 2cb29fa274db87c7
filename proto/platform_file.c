#include "proto/platform_file.h"

#include "proto/base/log.h"
#include "proto/conf.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- rows ---- */

struct list {
	void **items;
	size_t *count;
};

static struct list list_of(struct snapshot *s, size_t table)
{
	const struct list lists[PTABLE_COUNT] = {{(void **)&s->vports, &s->vport_count},
	                                         {(void **)&s->vswitches, &s->vswitch_count},
	                                         {(void **)&s->swports, &s->swport_count},
	                                         {(void **)&s->pnotes, &s->pnote_count}};

	return lists[table];
}

void *platform_row(struct snapshot *s, size_t table)
{
	const struct ptable *t = &platform_tables[table];
	struct list l = list_of(s, table);

	if (*l.count == t->max) {
		s->truncated++;
		return NULL;
	}
	if ((*l.count & (*l.count - 1)) == 0) /* full at every power of two */
		*l.items = mem_resize(*l.items, *l.count ? *l.count * 2 : 1, t->size);
	return memset((char *)*l.items + (*l.count)++ * t->size, 0, t->size);
}

void platform_merge(struct snapshot *to, const struct snapshot *from)
{
	for (size_t t = 0; from && t < PTABLE_COUNT; t++) {
		struct list l = list_of((struct snapshot *)(uintptr_t)from, t);

		for (size_t i = 0; i < *l.count; i++) {
			void *row = platform_row(to, t);
			if (row)
				memcpy(row, (char *)*l.items + i * platform_tables[t].size, platform_tables[t].size);
		}
	}
}

/* ---- one file ---- */

struct reading {
	const char *name;
	struct err *e;
};

static int wrong(const struct reading *r, const struct conf_node *n, const char *what, const char *which)
{
	return err_set(r->e, "%s:%d: %s %s", r->name, n->line, what, which ? which : "");
}

static const struct pfield *field_named(const struct ptable *t, const char *name)
{
	for (size_t i = 0; i < t->count; i++) {
		if (strcmp(t->fields[i].name, name) == 0)
			return &t->fields[i];
	}
	return NULL;
}

static bool not_said(const char *text) { return !*text || strcmp(text, "null") == 0 || strcmp(text, "~") == 0; }

static int read_value(const struct reading *r, const struct pfield *f, const struct conf_node *v, void *row)
{
	if (v->type == CONF_LIST && f->type == PFIELD_MACS) {
		for (size_t i = 0; i < v->count; i++) {
			if (v->items[i]->type != CONF_SCALAR || pfield_set(f, row, v->items[i]->scalar) < 0)
				return wrong(r, v->items[i], "is no hardware address, or one too many:", f->name);
		}
		return 0;
	}
	if (v->type != CONF_SCALAR)
		return wrong(r, v, "a plain value is expected for", f->name);
	return not_said(v->scalar) || pfield_set(f, row, v->scalar) == 0 ? 0 : wrong(r, v, "no value that it may have:", f->name);
}

static int read_row(const struct reading *r, const struct ptable *t, const struct conf_node *n, void *row)
{
	if (n->type != CONF_MAP)
		return wrong(r, n, "a map is expected in", t->list);
	for (size_t i = 0; i < n->count; i++) {
		const struct pfield *f = field_named(t, n->items[i]->key);
		if (!f)
			return wrong(r, n->items[i], "unknown field", n->items[i]->key);
		if (read_value(r, f, n->items[i], row) < 0)
			return -1;
	}
	return 0;
}

/* What the file says of all its rows. */
static void row_default(const struct ptable *t, const struct conf_node *file, const char *name, void *row)
{
	const struct pfield *f = field_named(t, name);
	const char *text = conf_text(file, name);
	char now[PLATFORM_NAME_MAX];

	if (f && text && !pfield_get(f, row, now, sizeof now))
		pfield_set(f, row, text);
}

static int read_list(const struct reading *r, struct snapshot *s, size_t table, const struct conf_node *file)
{
	const struct ptable *t = &platform_tables[table];
	const struct conf_node *list = conf_get(file, t->list);

	if (list && list->type != CONF_LIST && !(list->type == CONF_SCALAR && not_said(list->scalar)))
		return wrong(r, list, "a list is expected for", t->list);
	for (size_t i = 0; list && list->type == CONF_LIST && i < list->count; i++) {
		void *row = platform_row(s, table);

		if (!row)
			return 0;
		if (read_row(r, t, list->items[i], row) < 0)
			return -1;
		row_default(t, file, "platform", row);
		row_default(t, file, "host", row);
	}
	return 0;
}

static bool is_known(const char *key)
{
	for (size_t t = 0; t < PTABLE_COUNT; t++) {
		if (strcmp(key, platform_tables[t].list) == 0)
			return true;
	}
	return strcmp(key, "platform") == 0 || strcmp(key, "host") == 0;
}

int platform_parse(struct snapshot *s, const struct conf_node *n, const char *name, struct err *e)
{
	struct reading r = {name, e};

	if (n->type != CONF_MAP)
		return wrong(&r, n, "a map of lists is expected", NULL);
	for (size_t i = 0; i < n->count; i++) {
		if (!is_known(n->items[i]->key))
			return wrong(&r, n->items[i], "unknown list", n->items[i]->key);
	}
	for (size_t t = 0; t < PTABLE_COUNT; t++) {
		if (read_list(&r, s, t, n) < 0)
			return -1;
	}
	return 0;
}

/* ---- files ---- */

struct file {
	char *path;
	struct timespec at; /* as it was when read */
	off_t size;
	ino_t inode;
	bool there;
	struct snapshot *says;
};

struct platform_files {
	size_t count;
	struct file files[PLATFORM_FILES_MAX];
	struct snapshot *all;
};

struct platform_files *platform_files_new(const char *const *paths, size_t count)
{
	struct platform_files *p = mem_alloc(sizeof *p);

	p->count = count < PLATFORM_FILES_MAX ? count : PLATFORM_FILES_MAX;
	for (size_t i = 0; i < p->count; i++)
		p->files[i].path = mem_strdup(paths[i]);
	p->all = snapshot_new();
	return p;
}

static bool file_changed(struct file *f)
{
	struct stat st;
	bool there = stat(f->path, &st) == 0, same = there && f->there && st.st_mtim.tv_sec == f->at.tv_sec &&
	                                             st.st_mtim.tv_nsec == f->at.tv_nsec && st.st_size == f->size &&
	                                             st.st_ino == f->inode;

	if (!there && f->there)
		log_warn("%s is gone: what it said is kept", f->path);
	f->there = there;
	if (!there || same)
		return false;
	f->at = st.st_mtim;
	f->size = st.st_size;
	f->inode = st.st_ino;
	return true;
}

static bool file_read(struct file *f)
{
	struct err e = {""};
	struct conf_node *n = conf_read(f->path, &e);
	struct snapshot *s = snapshot_new();
	bool good = n && platform_parse(s, n, f->path, &e) == 0;

	conf_free(n);
	if (!good) {
		log_warn("platform facts are not taken over: %s", e.text);
		snapshot_free(s);
		return false;
	}
	snapshot_free(f->says);
	f->says = s;
	return true;
}

bool platform_files_look(struct platform_files *p)
{
	bool news = false;

	for (size_t i = 0; p && i < p->count; i++)
		news |= file_changed(&p->files[i]) && file_read(&p->files[i]);
	if (!news)
		return false;
	snapshot_free(p->all);
	p->all = snapshot_new();
	p->all->taken = wall_now();
	for (size_t i = 0; i < p->count; i++)
		platform_merge(p->all, p->files[i].says);
	return true;
}

const struct snapshot *platform_files_facts(const struct platform_files *p) { return p ? p->all : NULL; }

void platform_files_free(struct platform_files *p)
{
	for (size_t i = 0; p && i < p->count; i++) {
		free(p->files[i].path);
		snapshot_free(p->files[i].says);
	}
	if (p)
		snapshot_free(p->all);
	free(p);
}
