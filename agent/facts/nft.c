/* nft: the firewall's rules. libnftables is the only reader that gets every rule right, and a big one: it runs in a
 * short-lived child that hands back a compact model, so this process never grows by its pages. The model is kept for as
 * long as the ruleset's generation stays the same; counters, which move without a new generation, are read over netlink. */
#include "agent/facts/nft.h"
#include "agent/child.h"
#include "agent/facts/facts.h"
#include "agent/facts/source.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <nftables/libnftables.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHILD_S_MAX     3
#define WAIT_MS_MAX     300 /* of a snapshot, which the whole agent waits for */
#define MODEL_BYTES_MAX (16u << 20)
#define TOLD_TRIES      5
#define TOLD_WAIT_US    1000
#define LIBRARY         "libnftables.so.1"

/* ---- in the child ---- */

struct library {
	struct nft_ctx *(*ctx_new)(uint32_t flags);
	void (*output_set_flags)(struct nft_ctx *ctx, unsigned flags);
	int (*buffer_output)(struct nft_ctx *ctx);
	int (*buffer_error)(struct nft_ctx *ctx);
	const char *(*get_output)(struct nft_ctx *ctx);
	const char *(*get_error)(struct nft_ctx *ctx);
	int (*run)(struct nft_ctx *ctx, const char *buf);
};

static int library_open(struct library *l, struct err *e)
{
	const struct {
		const char *name;
		void *slot;
	} symbols[] = {
	    {"nft_ctx_new", &l->ctx_new},
	    {"nft_ctx_output_set_flags", &l->output_set_flags},
	    {"nft_ctx_buffer_output", &l->buffer_output},
	    {"nft_ctx_buffer_error", &l->buffer_error},
	    {"nft_ctx_get_output_buffer", &l->get_output},
	    {"nft_ctx_get_error_buffer", &l->get_error},
	    {"nft_run_cmd_from_buffer", &l->run},
	};
	void *so = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (!so)
		return err_set(e, "%s", dlerror());
	for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
		void *sym = dlsym(so, symbols[i].name);

		if (!sym)
			return err_set(e, "%s has no %s", LIBRARY, symbols[i].name);
		memcpy(symbols[i].slot, &sym, sizeof sym);
	}
	return 0;
}

static const char *library_list(struct library *l, struct nft_ctx *ctx, const char *commands, unsigned flags)
{
	l->output_set_flags(ctx, flags);
	return l->run(ctx, commands) == 0 ? l->get_output(ctx) : NULL;
}

/* For people: without counters, which would make every text differ from the last one. */
#define FOR_PEOPLE (NFT_CTX_OUTPUT_HANDLE | NFT_CTX_OUTPUT_STATELESS | NFT_CTX_OUTPUT_TERSE)

struct listing {
	struct library *l;
	struct nft_ctx *ctx;
	json_t *items;
	struct buf text;
	bool owned;    /* there is a table that belongs to a process */
	size_t broken; /* tables the library does not print */
};

static void on_table(void *arg, const struct nft_table_seen *table)
{
	((struct listing *)arg)->owned |= table->owned || fw_table_is_ours(table->name);
}

static void list_table(void *arg, const struct nft_table_seen *table)
{
	struct listing *all = arg;
	char command[160];
	const char *out;
	json_t *root;

	if (fw_table_is_ours(table->name))
		return;
	snprintf(command, sizeof command, "list table %s %s", table->family, table->name);
	out = library_list(all->l, all->ctx, command, NFT_CTX_OUTPUT_JSON);
	root = out ? json_loads(out, 0, NULL) : NULL;
	if (!root || json_array_extend(all->items, json_object_get(root, "nftables")))
		all->broken++;
	json_decref(root);
	out = library_list(all->l, all->ctx, command, FOR_PEOPLE);
	buf_puts(&all->text, out ? out : "");
}

static int listing_read(const char *json, const char *text, struct fw_model *m, struct err *e)
{
	struct xt_rules xt = {0};

	if (strstr(json, "\"xt\":"))
		nft_read_xt(&xt);
	return fw_model_read(m, json, text, &xt, e);
}

/* Table by table: where one belongs to a process, as those of a round do, versions of the library end their JSON in the middle,
 * and look through all processes for that one's name. */
static int tables_read(struct listing *all, struct fw_model *m, struct err *e)
{
	json_t *root = json_pack("{s:o}", "nftables", all->items = json_array());
	char *json;

	nft_tables(list_table, all);
	json = json_dumps(root, JSON_COMPACT);
	if (listing_read(json, all->text.data ? all->text.data : "", m, e))
		return -1;
	m->truncated += all->broken;
	return 0;
}

static int model_read(struct fw_model *m, struct err *e)
{
	struct library l;
	struct listing all = {.l = &l};
	const char *json;
	char *copy;

	if (library_open(&l, e))
		return -1;
	all.ctx = l.ctx_new(NFT_CTX_DEFAULT);
	if (!all.ctx || l.buffer_output(all.ctx) || l.buffer_error(all.ctx))
		return err_set(e, "libnftables does not start");
	nft_tables(on_table, &all);
	if (all.owned)
		return tables_read(&all, m, e);
	json = library_list(&l, all.ctx, "list ruleset", NFT_CTX_OUTPUT_JSON);
	if (!json)
		return err_set(e, "listing the ruleset: %.200s", l.get_error(all.ctx));
	copy = mem_strdup(json);
	if (listing_read(copy, library_list(&l, all.ctx, "list ruleset", FOR_PEOPLE), m, e) == 0)
		return 0;
	return tables_read(&all, m, e); /* such a table came in between */
}

static void write_all(int fd, const void *data, size_t len)
{
	const char *at = data;
	ssize_t put;

	while (len > 0 && ((put = write(fd, at, len)) > 0 || errno == EINTR)) {
		at += put > 0 ? put : 0;
		len -= put > 0 ? (size_t)put : 0;
	}
}

/* First byte: 1 and the model, or 0 and why not. Frees nothing: the process ends. */
static void reader_run(int fd)
{
	struct fw_model m = {0};
	struct err e = {{0}};
	struct buf out = {0};

	alarm(CHILD_S_MAX); /* whatever it meets */
	if (model_read(&m, &e) == 0) {
		buf_add(&out, "\1", 1);
		fw_model_encode(&m, &out);
	} else {
		buf_add(&out, "\0", 1);
		buf_puts(&out, e.text);
	}
	write_all(fd, out.data, out.len);
	_exit(0);
}

/* ---- in the parent ---- */

/* The child at work, if there is one. What takes it longer than a snapshot waits is taken by a later one. */
static struct {
	pid_t pid; /* 0 = none */
	int fd;
	uint32_t generation; /* when it began */
	struct mono began;
	struct buf answer;
} reader;

static void reader_end(void)
{
	close(reader.fd);
	child_end(reader.pid, NULL);
	buf_free(&reader.answer);
	reader.pid = 0;
}

static int reader_start(uint32_t generation, struct err *e)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return err_sys(e, "pipe");
	reader.pid = child_start(reader_run, fds[1], "bothways-nft");
	close(fds[1]);
	if (reader.pid < 0) {
		reader.pid = 0;
		close(fds[0]);
		return err_sys(e, "fork");
	}
	reader.fd = fds[0];
	reader.generation = generation;
	reader.began = mono_now();
	return 0;
}

/* 1: all of the answer is there. 0: not yet. -1: there will be none. */
static int reader_wait(struct mono deadline)
{
	char chunk[16384];

	for (;;) {
		int64_t left = mono_ms_since(mono_now(), deadline);
		struct pollfd p = {.fd = reader.fd, .events = POLLIN};
		int ready = poll(&p, 1, left > 0 ? (int)left : 0);
		ssize_t got = ready > 0 ? read(reader.fd, chunk, sizeof chunk) : -1;

		if (got > 0)
			buf_add(&reader.answer, chunk, (size_t)got);
		else if (ready > 0 && got == 0)
			return reader.answer.len ? 1 : -1;
		else if (ready > 0 && errno != EINTR)
			return -1;
		else if (left <= 0)
			return mono_ms_since(reader.began, mono_now()) > CHILD_S_MAX * 1000 ? -1 : 0;
		if (reader.answer.len > MODEL_BYTES_MAX)
			return -1;
	}
}

/* Of this process: the last model as bytes, and which generation it is. */
static struct {
	bool valid;
	uint32_t generation;
	struct buf bytes;
} kept;

static uint32_t told; /* the newest generation that the watch knows of */

void nft_generation_told(uint32_t generation, bool ours)
{
	if (ours && kept.generation + 1 == generation)
		kept.generation = generation;
	if (ours && reader.generation + 1 == generation)
		reader.generation = generation;
	told = generation;
}

/* A round's own table makes a new generation, too, and its end is told a moment after it is there. */
static bool kept_is_good(uint32_t generation)
{
	for (int tries = 0; kept.valid && tries < TOLD_TRIES; tries++) {
		if (kept.generation == generation)
			return true;
		if (!watch_catch_up())
			return false;
		if ((int32_t)(kept.generation - generation) >= 0)
			return true;
		if ((int32_t)(told - generation) >= 0)
			return false;
		usleep(TOLD_WAIT_US);
	}
	return false;
}

static void kept_drop(void)
{
	buf_free(&kept.bytes);
	kept.valid = false;
}

static int answer_keep(struct err *e)
{
	struct buf answer = reader.answer;
	bool good = answer.data[0] == 1;

	reader.answer = (struct buf){0};
	reader_end();
	if (good) {
		buf_consume(&answer, 1);
		kept.bytes = answer;
		kept.generation = reader.generation;
		kept.valid = true;
		return 0;
	}
	err_set(e, "%.*s", (int)(answer.len - 1), answer.data + 1);
	buf_free(&answer);
	return -1;
}

static int kept_renew(uint32_t generation, struct mono deadline, struct err *e)
{
	int there;

	kept_drop();
	if (reader.pid == 0 && reader_start(generation, e))
		return -1;
	there = reader_wait(deadline);
	if (there > 0)
		return answer_keep(e);
	if (there == 0) {
		watch_look_again();
		return err_set(e, "the ruleset is still being read");
	}
	reader_end();
	return err_set(e, "reading the ruleset took too long or broke off");
}

/* One that is still at work may have begun before the last change. */
static int kept_make(uint32_t generation, struct err *e)
{
	struct mono deadline = mono_add_ms(mono_now(), WAIT_MS_MAX);

	while (!kept_is_good(generation)) {
		bool old = reader.pid && reader.generation != generation;

		if (kept_renew(generation, deadline, e))
			return -1;
		if (!old)
			break;
	}
	return 0;
}

/* ---- counters ---- */

struct counting {
	struct fw_model *m;
	size_t chain, rule; /* behind the last one found: both lists have about the same order */
};

/* The entries of one handle stand side by side. */
static bool chain_count(struct counting *k, struct fw_chain *c, const struct nft_rule_seen *seen)
{
	size_t start = k->rule;

	if (strcmp(c->table, seen->table) != 0 || strcmp(c->family, seen->family) != 0)
		return false;
	for (size_t i = 0; i < c->rule_count; i++) {
		size_t at = (start + i) % c->rule_count;

		if (c->rules[at].handle != seen->handle)
			continue;
		while (at > 0 && c->rules[at - 1].handle == seen->handle)
			at--;
		for (; at < c->rule_count && c->rules[at].handle == seen->handle; at++)
			c->rules[at].packets = seen->packets;
		k->rule = at;
		return true;
	}
	return false;
}

static void on_counted(void *arg, const struct nft_rule_seen *seen)
{
	struct counting *k = arg;

	if (!seen->has_counter)
		return;
	for (size_t i = 0; i < k->m->chain_count; i++) {
		size_t at = (k->chain + i) % k->m->chain_count;

		if (chain_count(k, &k->m->chains[at], seen)) {
			k->chain = at;
			return;
		}
	}
}

static bool any_counter(const struct fw_model *m)
{
	for (size_t i = 0; i < m->chain_count; i++)
		for (size_t k = 0; k < m->chains[i].rule_count; k++)
			if (m->chains[i].rules[k].has_counter)
				return true;
	return false;
}

/* ---- the source ---- */

/* Rules of the old iptables (iptables-legacy) stand beside nftables, where nothing here reads them. */
static bool legacy_tables(void)
{
	static const char *const lists[] = {"/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names",
	                                    "/proc/thread-self/net/arp_tables_names"};
	bool any = false;

	for (size_t i = 0; i < sizeof lists / sizeof *lists && !any; i++) {
		FILE *f = fopen(lists[i], "re");

		any = f && fgetc(f) != EOF;
		if (f)
			fclose(f);
	}
	return any;
}

int fact_read_firewall(struct snapshot *s, struct err *e)
{
	struct fw_model m;
	uint32_t generation;

	if (nft_generation(&generation)) {
		s->firewall_known = errno == EPERM ? FW_NO_RIGHTS : FW_NOT_READ;
		return err_sys(e, "ruleset");
	}
	if (kept_make(generation, e))
		return -1;
	if (fw_model_decode(kept.bytes.data, kept.bytes.len, &m)) {
		kept_drop();
		return err_set(e, "ruleset: malformed answer");
	}
	if (any_counter(&m))
		nft_rules(on_counted, &(struct counting){.m = &m});
	s->chains = m.chains;
	s->chain_count = m.chain_count;
	s->truncated += m.truncated;
	s->firewall_known = m.truncated || legacy_tables() ? FW_TRUNCATED : FW_READ;
	return 0;
}

bool facts_firewall_possible(char *why, size_t size)
{
	uint32_t generation;

	if (nft_generation(&generation) == 0)
		return true;
	snprintf(why, size, "firewall rules: %s", strerror(errno));
	return false;
}
