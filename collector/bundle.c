#include "collector/bundle.h"

#include "proto/digest.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum part { PART_README, PART_VERDICT, PART_DOSSIER, PART_CATALOGUE, PART_FRAMES, PART_MANIFEST, PART_COUNT };

static const struct {
	const char *name;
	size_t max;
} PARTS[PART_COUNT] = {
    [PART_README] = {"README.txt", 1 << 16},
    [PART_VERDICT] = {"verdict.json", RECORD_VERDICT_MAX},
    [PART_DOSSIER] = {"dossier.json", RECORD_BYTES_MAX},
    [PART_CATALOGUE] = {"catalogue.yaml", RECORD_CATALOGUE_MAX},
    [PART_FRAMES] = {"capture.pcapng", 24 << 20},
    [PART_MANIFEST] = {"MANIFEST", 1 << 16},
};

struct parts {
	struct buf of[PART_COUNT];
	bool here[PART_COUNT];
};

static void parts_free(struct parts *p)
{
	for (int i = 0; i < PART_COUNT; i++)
		buf_free(&p->of[i]);
}

static int part_named(const char *name)
{
	for (int i = 0; i < PART_COUNT; i++)
		if (strcmp(PARTS[i].name, name) == 0)
			return i;
	return -1;
}

/* ---- writing ---- */

static void readme(const struct record *r, struct buf *out)
{
	const struct dossier *d = &r->dossier;
	char at[WALL_TEXT_MAX];
	buf_printf(out, "Everything that the verdict of bothways about %s and %s of %s was made from (round %016" PRIx64 ").\n\n",
	           d->party[PARTY_A].name, d->party[PARTY_B].name, wall_format(r->at, at), d->round);
	buf_printf(out,
	           "  bothways replay FILE           prints the verdict again, from what is in here alone\n"
	           "  bothways replay --check FILE   says whether this program still comes to the same\n\n"
	           "FILE is this bundle, or the folder it was unpacked into.\n\n"
	           "verdict.json    the verdict, as `bothways --json diagnose` prints it\n"
	           "dossier.json    what machines said of themselves, what was sent and seen, paths, witnesses, changes\n"
	           "catalogue.yaml  the causes, when they were not those of version %s\n"
	           "capture.pcapng  frames, when the round kept them: for Wireshark\n"
	           "MANIFEST        `sha256sum -c MANIFEST` tells whether all of it came over\n\n"
	           "It names machines and holds their addresses, firewall rules and settings: give it to whom you would show "
	           "those.\n",
	           r->program);
}

static void manifest(const struct parts *p, struct buf *out)
{
	char sum[DIGEST_TEXT_MAX];
	for (int i = 0; i < PART_MANIFEST; i++)
		if (p->here[i])
			buf_printf(out, "%s  %s\n", digest_text(p->of[i].data, p->of[i].len, sum), PARTS[i].name);
}

static int parts_make(const struct record *r, const char *verdict, const struct buf *capture, struct parts *p, struct err *e)
{
	if (record_write(r, &p->of[PART_DOSSIER], e))
		return -1;
	readme(r, &p->of[PART_README]);
	buf_puts(&p->of[PART_VERDICT], verdict);
	if (r->catalogue_text)
		buf_add(&p->of[PART_CATALOGUE], r->catalogue_text, r->catalogue_len);
	if (capture && capture->len)
		buf_add(&p->of[PART_FRAMES], capture->data, capture->len);
	for (int i = 0; i < PART_MANIFEST; i++) {
		p->here[i] = p->of[i].len > 0;
		if (p->of[i].len > PARTS[i].max)
			return err_set(e, "bundle: %s has %zu bytes, more than fit", PARTS[i].name, p->of[i].len);
	}
	manifest(p, &p->of[PART_MANIFEST]);
	p->here[PART_MANIFEST] = true;
	return 0;
}

static la_ssize_t take_bytes(struct archive *a, void *out, const void *data, size_t len)
{
	(void)a;
	buf_add(out, data, len);
	return (la_ssize_t)len;
}

static int member_write(struct archive *a, const struct record *r, enum part i, const struct buf *data)
{
	struct archive_entry *entry = archive_entry_new();
	char *name = mem_printf("bothways-%016" PRIx64 "/%s", r->dossier.round, PARTS[i].name);
	archive_entry_set_pathname(entry, name);
	archive_entry_set_size(entry, (la_int64_t)data->len);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0600);
	archive_entry_set_mtime(entry, r->at.ns / 1000000000, 0);
	int rc =
	    archive_write_header(a, entry) == ARCHIVE_OK && archive_write_data(a, data->data, data->len) == (la_ssize_t)data->len
	        ? 0
	        : -1;
	archive_entry_free(entry);
	free(name);
	return rc;
}

static int archive_make(const struct record *r, const struct parts *p, struct buf *out, struct err *e)
{
	struct archive *a = archive_write_new();
	int rc = archive_write_add_filter_gzip(a) == ARCHIVE_OK && archive_write_set_format_ustar(a) == ARCHIVE_OK &&
	                 archive_write_set_filter_option(a, "gzip", "timestamp", NULL) == ARCHIVE_OK &&
	                 archive_write_set_bytes_in_last_block(a, 1) == ARCHIVE_OK &&
	                 archive_write_open(a, out, NULL, take_bytes, NULL) == ARCHIVE_OK
	             ? 0
	             : -1;
	for (int i = 0; rc == 0 && i < PART_COUNT; i++)
		if (p->here[i])
			rc = member_write(a, r, (enum part)i, &p->of[i]);
	if (rc == 0 && archive_write_close(a) != ARCHIVE_OK)
		rc = -1;
	if (rc)
		err_set(e, "bundle: %s", archive_error_string(a) ? archive_error_string(a) : "cannot be made");
	archive_write_free(a);
	return rc;
}

int bundle_write(const struct record *r, const char *verdict, const struct buf *capture, struct buf *out, struct err *e)
{
	struct parts p = {.here = {false}};
	int rc = parts_make(r, verdict, capture, &p, e);
	if (rc == 0)
		rc = archive_make(r, &p, out, e);
	parts_free(&p);
	return rc;
}

/* ---- reading ---- */

static int refuse(struct err *e, const char *what) { return err_set(e, "not a bundle: %s", what); }

/* What the archive has of one member: kept, or looked through because a newer program put it there. `left`: of the whole. */
static int member_take(struct archive *a, size_t max, size_t *left, struct buf *out, struct err *e)
{
	char piece[16384];
	la_ssize_t n;
	while ((n = archive_read_data(a, piece, sizeof piece)) > 0) {
		if ((size_t)n > *left || (out && out->len + (size_t)n > max))
			return refuse(e, "a member of it is too large");
		*left -= (size_t)n;
		if (out)
			buf_add(out, piece, (size_t)n);
	}
	return n == 0 ? 0 : refuse(e, "it is damaged");
}

static int member_read(struct archive *a, struct archive_entry *entry, struct parts *p, size_t *left, struct err *e)
{
	const char *path = archive_entry_pathname(entry), *slash = path ? strrchr(path, '/') : NULL;
	int i = part_named(slash ? slash + 1 : path ? path : "");
	if (archive_entry_filetype(entry) == AE_IFDIR)
		return 0;
	if (i >= 0 && archive_entry_filetype(entry) != AE_IFREG)
		return refuse(e, "a member of it is no file");
	if (i >= 0 && p->here[i])
		return refuse(e, "a member of it stands twice");
	if (i >= 0)
		p->here[i] = true;
	return member_take(a, i < 0 ? 0 : PARTS[i].max, left, i < 0 ? NULL : &p->of[i], e);
}

static int members_read(struct archive *a, struct parts *p, struct err *e)
{
	struct archive_entry *entry;
	size_t left = BUNDLE_BYTES_MAX;
	int rc;
	for (int n = 0; (rc = archive_read_next_header(a, &entry)) == ARCHIVE_OK; n++) {
		if (n == BUNDLE_MEMBERS_MAX)
			return refuse(e, "it has too many members");
		if (member_read(a, entry, p, &left, e))
			return -1;
	}
	return rc == ARCHIVE_EOF ? 0 : refuse(e, "no gzipped tar, or damaged");
}

static int archive_take(const void *data, size_t len, struct parts *p, struct err *e)
{
	struct archive *a = archive_read_new();
	int rc = archive_read_support_filter_gzip(a) == ARCHIVE_OK && archive_read_support_format_tar(a) == ARCHIVE_OK &&
	                 archive_read_open_memory(a, data, len) == ARCHIVE_OK
	             ? members_read(a, p, e)
	             : refuse(e, "no gzipped tar");
	archive_read_free(a);
	if (rc == 0 && !p->here[PART_MANIFEST])
		return refuse(e, "it has no MANIFEST");
	return rc;
}

/* Does MANIFEST have this line? */
static bool manifest_has(const struct buf *list, const char *line)
{
	const char *at = list->data;
	size_t n = strlen(line);
	while (at && (at = strstr(at, line))) {
		if ((at == list->data || at[-1] == '\n') && (at[n] == '\n' || at[n] == '\0'))
			return true;
		at++;
	}
	return false;
}

static int manifest_check(const struct parts *p, struct err *e)
{
	char sum[DIGEST_TEXT_MAX];
	for (int i = 0; p->here[PART_MANIFEST] && i < PART_MANIFEST; i++) {
		char *line = mem_printf("%s  %s", digest_text(p->of[i].data, p->of[i].len, sum), PARTS[i].name);
		bool fits = !p->here[i] || manifest_has(&p->of[PART_MANIFEST], line);
		free(line);
		if (!fits)
			return err_set(e, "not a bundle, or damaged: %s is not what MANIFEST says", PARTS[i].name);
	}
	return 0;
}

/* What is taken over is emptied. */
static struct buf buf_take(struct buf *b)
{
	struct buf taken = *b;
	*b = (struct buf){0};
	return taken;
}

static struct bundle *bundle_of(struct parts *p, struct err *e)
{
	struct bundle *b = NULL;
	const struct buf *dossier = &p->of[PART_DOSSIER];
	struct record *r = NULL;
	if (!p->here[PART_DOSSIER])
		refuse(e, "it has no dossier.json");
	else if (manifest_check(p, e) == 0)
		r = record_read(dossier->data ? dossier->data : "", dossier->len, e);
	if (r) {
		b = mem_alloc(sizeof *b);
		*b = (struct bundle){r, buf_take(&p->of[PART_VERDICT]), buf_take(&p->of[PART_CATALOGUE]),
		                     buf_take(&p->of[PART_FRAMES])};
	}
	parts_free(p);
	return b;
}

struct bundle *bundle_read(const void *data, size_t len, struct err *e)
{
	struct parts p = {.here = {false}};
	if (len > BUNDLE_BYTES_MAX || archive_take(data, len, &p, e)) {
		if (len > BUNDLE_BYTES_MAX)
			refuse(e, "it is too large");
		parts_free(&p);
		return NULL;
	}
	return bundle_of(&p, e);
}

/* ---- from the disk ---- */

static int file_take(int fd, const char *path, size_t max, struct buf *out, struct err *e)
{
	char piece[16384];
	ssize_t n;
	while ((n = read(fd, piece, sizeof piece)) > 0) {
		if (out->len + (size_t)n > max)
			return err_set(e, "%s: too large: more than %zu bytes", path, max);
		buf_add(out, piece, (size_t)n);
	}
	return n == 0 ? 0 : err_sys(e, "%s", path);
}

static int folder_take(const char *path, struct parts *p, struct err *e)
{
	for (int i = 0; i < PART_COUNT; i++) {
		char *name = mem_printf("%s/%s", path, PARTS[i].name);
		int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = 0;
		p->here[i] = fd >= 0;
		if (fd >= 0)
			rc = file_take(fd, name, PARTS[i].max, &p->of[i], e);
		else if (errno != ENOENT)
			rc = err_sys(e, "%s", name);
		if (fd >= 0)
			close(fd);
		free(name);
		if (rc)
			return -1;
	}
	return 0;
}

static struct bundle *open_folder(const char *path, struct err *e)
{
	struct parts p = {.here = {false}};
	if (folder_take(path, &p, e) == 0) {
		struct bundle *b = bundle_of(&p, e);
		if (!b)
			err_prefix(e, "%s", path);
		return b;
	}
	parts_free(&p);
	return NULL;
}

struct bundle *bundle_open(const char *path, struct err *e)
{
	struct stat st;
	struct buf file = {0};
	struct bundle *b = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		err_sys(e, "%s", path);
	} else if (S_ISDIR(st.st_mode)) {
		b = open_folder(path, e);
	} else if (file_take(fd, path, BUNDLE_BYTES_MAX, &file, e) == 0 && !(b = bundle_read(file.data, file.len, e))) {
		err_prefix(e, "%s", path);
	}
	if (fd >= 0)
		close(fd);
	buf_free(&file);
	return b;
}

void bundle_free(struct bundle *b)
{
	if (!b)
		return;
	record_free(b->record);
	buf_free(&b->verdict);
	buf_free(&b->catalogue);
	buf_free(&b->capture);
	free(b);
}
