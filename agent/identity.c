#include "agent/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_VERSION 1
#define LOCK_TRIES    15
#define LOCK_PAUSE_US 200000 /* whoever restarts us may still be going down */

static char *path_in(const struct identity *id, const char *file) { return mem_printf("%s/%s", id->dir, file); }

/* As mkdir -p; the last one is ours alone. */
static int dir_make(const char *dir)
{
	char path[PATH_MAX];

	if (str_copy(path, sizeof path, dir) < 0) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(path, 0755);
		*p = '/';
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -1 : 0;
}

static int lock_take(struct identity *id, struct err *e)
{
	char *path = path_in(id, "lock");
	int result;

	id->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	free(path);
	if (id->lock < 0)
		return err_sys(e, "state directory %s: not writable", id->dir);
	for (int i = 0; (result = flock(id->lock, LOCK_EX | LOCK_NB)) < 0 && errno == EWOULDBLOCK && i < LOCK_TRIES; i++)
		usleep(LOCK_PAUSE_US);
	return result < 0 ? err_set(e, "state directory %s: in use by another agent", id->dir) : 0;
}

/* A disk that was full leaves an empty file: none. */
static int version_read(const char *path)
{
	FILE *f = fopen(path, "re");
	int version = 0, c = f ? fgetc(f) : EOF;

	if (c != EOF) {
		ungetc(c, f);
		version = fscanf(f, "%d", &version) == 1 ? version : -1;
	}
	if (f)
		fclose(f);
	return version;
}

static int version_write(const char *path)
{
	FILE *f = fopen(path, "we");
	bool good = f && fprintf(f, "%d\n", STATE_VERSION) > 0;

	return f && fclose(f) == 0 && good ? STATE_VERSION : -1;
}

static int version_check(struct identity *id, struct err *e)
{
	char *path = path_in(id, "version");
	int version = version_read(path);

	if (version == 0 && (version = version_write(path)) < 0)
		err_sys(e, "state directory %s: cannot write", id->dir);
	else if (version < 1 || version > STATE_VERSION)
		err_set(e, "state directory %s: written by a newer version of this program (%d, this one knows %d)", id->dir,
		        version, STATE_VERSION);
	free(path);
	return version < 1 || version > STATE_VERSION ? -1 : 0;
}

/* False with an empty error: there is no such file. */
static bool key_read(struct identity *id, const char *file, struct err *e)
{
	char *path = path_in(id, file);
	bool absent = access(path, F_OK) < 0 && errno == ENOENT;
	bool good = !absent && keyfile_read(path, &id->key, e) == 0;

	if (absent)
		e->text[0] = '\0';
	free(path);
	return good;
}

static int key_write(const struct identity *id, const char *file, struct err *e)
{
	char *path = path_in(id, file);
	int result = keyfile_write(path, &id->key, e);

	free(path);
	return result;
}

/* The key is on disk before anybody hears of it: an answer lost on the way, or a crash, and the same key asks again. */
static int key_prepare(struct identity *id, struct err *e)
{
	if (key_read(id, "agent.key.new", e))
		return 0;
	if (e->text[0])
		return -1;
	id->key = (struct keyfile){.role = "agent"};
	keypair_make(&id->key.pair);
	return key_write(id, "agent.key.new", e);
}

static int token_take(struct identity *id, const char *token, struct err *e)
{
	if (!token)
		return 0;
	if (token_parse(token, &id->token, e) < 0)
		return err_prefix(e, "--join");
	token_keypair(&id->token, &id->token_pair);
	id->has_token = true;
	return 0;
}

static int key_take(struct identity *id, struct err *e)
{
	bool known = key_read(id, "agent.key", e);

	if (!known && e->text[0])
		return -1;
	/* a token of another collector means: go over to that one */
	id->joined = known && (!id->has_token || memcmp(id->token.collector, id->key.collector, KEY_LEN) == 0);
	if (id->joined)
		return 0;
	if (!id->has_token)
		return err_set(e, "%s holds no agent.key: the first start needs --join TOKEN", id->dir);
	return key_prepare(id, e);
}

int identity_open(struct identity *id, const char *dir, const char *token, const char *endpoint, struct err *e)
{
	char absolute[PATH_MAX];

	*id = (struct identity){.lock = -1};
	if (token_take(id, token, e) < 0)
		return -1;
	if (dir_make(dir) < 0 || !realpath(dir, absolute))
		return err_sys(e, "state directory %s: cannot make it", dir);
	id->dir = mem_strdup(absolute);
	if (lock_take(id, e) < 0 || version_check(id, e) < 0 || key_take(id, e) < 0)
		return -1;
	str_copy(id->endpoint, sizeof id->endpoint, endpoint ? endpoint : id->joined ? id->key.endpoint : id->token.endpoint);
	return 0;
}

const struct keypair *identity_pair(const struct identity *id) { return id->joined ? &id->key.pair : &id->token_pair; }

const uint8_t *identity_collector(const struct identity *id) { return id->joined ? id->key.collector : id->token.collector; }

int identity_joined(struct identity *id, const struct msg_joined *m, struct err *e)
{
	char *pending = path_in(id, "agent.key.new");
	int result;

	str_copy(id->key.role, sizeof id->key.role, "agent");
	str_copy(id->key.name, sizeof id->key.name, m->name);
	str_copy(id->key.tenant, sizeof id->key.tenant, m->tenant);
	str_copy(id->key.endpoint, sizeof id->key.endpoint, id->endpoint);
	memcpy(id->key.collector, id->token.collector, KEY_LEN);
	result = key_write(id, "agent.key", e);
	if (result == 0) {
		unlink(pending);
		id->joined = true;
	}
	free(pending);
	return result;
}

bool identity_rejoin(struct identity *id)
{
	if (!id->joined || !id->has_token)
		return false;
	id->joined = false;
	return true;
}

void identity_close(struct identity *id)
{
	if (id->lock >= 0)
		close(id->lock);
	free(id->dir);
	explicit_bzero(id, sizeof *id);
	id->lock = -1;
}
