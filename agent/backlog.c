/* The file: magic, then per run: boot (8) | number of its first report (8) | how many reports (4), then each as length (4) | bytes.
 * Numbers in the byte order of the machine, which is the one that reads them. */
#include "agent/backlog.h"

#include "agent/agent.h"
#include "proto/base/mem.h"
#include "proto/model/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char magic[8] = {'B', 'W', 's', 'p', 'o', 'o', 'l', '1'};

struct run {
	uint64_t boot;
	struct spool *spool;
};

struct backlog {
	struct run runs[BACKLOG_RUNS_MAX]; /* oldest first */
	size_t count;
};

/* ---- reading ---- */

static bool bytes_take(FILE *f, void *out, size_t len) { return fread(out, 1, len, f) == len; }

static bool report_take(FILE *f, struct spool *s)
{
	uint32_t len;
	char *data;
	bool good;

	if (!bytes_take(f, &len, sizeof len) || len == 0 || len > MSG_BYTES_MAX)
		return false;
	data = mem_array(len, 1);
	good = bytes_take(f, data, len);
	if (good)
		spool_put(s, data, len);
	free(data);
	return good;
}

/* False when the file ends, or what follows makes no sense. */
static bool run_take(FILE *f, struct backlog *b)
{
	uint64_t boot, first;
	uint32_t count;
	struct spool *s;
	bool good = true;

	if (!bytes_take(f, &boot, sizeof boot) || !bytes_take(f, &first, sizeof first) || !bytes_take(f, &count, sizeof count))
		return false;
	if (first == 0 || first > UINT64_MAX / 2)
		return false;
	s = spool_new(SPOOL_BYTES_MAX);
	spool_begin(s, first);
	for (uint32_t i = 0; i < count && good; i++)
		good = report_take(f, s);
	if (spool_bytes(s) && b->count < BACKLOG_RUNS_MAX)
		b->runs[b->count++] = (struct run){boot, s};
	else
		spool_free(s);
	return good;
}

static char *file_path(const char *dir) { return mem_printf("%s/spool", dir); }
static char *aside_path(const char *path) { return mem_printf("%s.new", path); }

struct backlog *backlog_load(const char *dir)
{
	struct backlog *b = mem_alloc(sizeof *b);
	char *path = file_path(dir), *aside = aside_path(path), begin[sizeof magic];
	FILE *f = fopen(path, "re");

	unlink(aside); /* of one that was killed while it wrote */
	if (f) {
		if (bytes_take(f, begin, sizeof begin) && memcmp(begin, magic, sizeof magic) == 0)
			while (run_take(f, b))
				;
		fclose(f);
		unlink(path);
	}
	free(aside);
	free(path);
	return b;
}

/* ---- giving away ---- */

void backlog_drop(struct backlog *b)
{
	if (!b->count)
		return;
	spool_free(b->runs[0].spool);
	memmove(b->runs, b->runs + 1, --b->count * sizeof *b->runs);
}

struct spool *backlog_front(struct backlog *b, uint64_t *boot)
{
	while (b && b->count && spool_bytes(b->runs[0].spool) == 0)
		backlog_drop(b);
	if (!b || !b->count)
		return NULL;
	*boot = b->runs[0].boot;
	return b->runs[0].spool;
}

void backlog_free(struct backlog *b)
{
	if (!b)
		return;
	while (b->count)
		backlog_drop(b);
	free(b);
}

/* ---- writing ---- */

static void run_add(struct buf *out, uint64_t boot, const struct spool *s)
{
	uint64_t number = 0, first = spool_oldest(s);
	uint32_t count = (uint32_t)(spool_next_number(s) - first), len;
	const void *data;
	size_t size;

	buf_add(out, &boot, sizeof boot);
	buf_add(out, &first, sizeof first);
	buf_add(out, &count, sizeof count);
	while ((data = spool_after(s, number, &number, &size))) {
		len = (uint32_t)size;
		buf_add(out, &len, sizeof len);
		buf_add(out, data, size);
	}
}

static int file_write(const char *path, const struct buf *b, struct err *e)
{
	char *aside = aside_path(path);
	int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), result = -1;
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (!f) {
		err_sys(e, "%s", aside);
	} else {
		size_t written = fwrite(b->data, 1, b->len, f);

		result = fclose(f) == 0 && written == b->len && rename(aside, path) == 0 ? 0 : err_sys(e, "%s", aside);
		if (result < 0)
			unlink(aside);
	}
	free(aside);
	return result;
}

/* Together they are bounded as one spool is: the oldest runs go first. */
static void make_room(struct backlog *b, const struct spool *now)
{
	size_t bytes = spool_bytes(now);

	for (size_t i = 0; i < b->count; i++)
		bytes += spool_bytes(b->runs[i].spool);
	while (b->count && (bytes > SPOOL_BYTES_MAX || b->count >= BACKLOG_RUNS_MAX)) {
		bytes -= spool_bytes(b->runs[0].spool);
		backlog_drop(b);
	}
}

int backlog_save(struct backlog *b, const char *dir, uint64_t boot, const struct spool *now, struct err *e)
{
	char *path = file_path(dir);
	struct buf out = {0};
	int result = 0;

	make_room(b, now);
	buf_add(&out, magic, sizeof magic);
	for (size_t i = 0; i < b->count; i++)
		run_add(&out, b->runs[i].boot, b->runs[i].spool);
	if (spool_bytes(now))
		run_add(&out, boot, now);
	if (out.len > sizeof magic)
		result = file_write(path, &out, e);
	buf_free(&out);
	free(path);
	return result;
}
