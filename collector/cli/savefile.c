#include "collector/cli/savefile.h"

#include "proto/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODE 0600

struct savefile {
	char *path;  /* where it is to be; NULL = written in place already */
	char *aside; /* its name until then; NULL = none yet: the kernel forgets it if we do not end well */
	int fd;
	int trouble; /* errno of the first failed write */
};

static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return mem_strdup(".");
	return slash == path ? mem_strdup("/") : mem_printf("%.*s", (int)(slash - path), path);
}

static int open_aside(struct savefile *f)
{
	char *dir = directory_of(f->path);
	int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, MODE);

	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) { /* not every file system can */
		f->aside = mem_printf("%s.XXXXXX", f->path);
		fd = mkostemp(f->aside, O_CLOEXEC);
	}
	if (fd < 0) {
		free(f->aside);
		f->aside = NULL;
	}
	free(dir);
	return fd;
}

/* In place of a link, what it points to. */
static char *path_real(const char *path)
{
	char *real = realpath(path, NULL);

	return real ? real : mem_strdup(path);
}

struct savefile *savefile_new(const char *path, struct err *e)
{
	struct savefile *f = mem_alloc(sizeof *f);
	struct stat st;

	if (strcmp(path, "-") == 0) {
		f->fd = dup(STDOUT_FILENO);
	} else if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		f->fd = open(path, O_WRONLY | O_CLOEXEC);
	} else {
		f->path = path_real(path);
		f->fd = open_aside(f);
	}
	if (f->fd >= 0)
		return f;
	err_set(e, "%s: %s", path, strerror(errno));
	savefile_drop(f);
	return NULL;
}

void savefile_write(struct savefile *f, const void *data, size_t len)
{
	const char *at = data;

	while (len && !f->trouble) {
		ssize_t n = write(f->fd, at, len);

		if (n < 0 && errno != EINTR)
			f->trouble = errno;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
}

/* A nameless file gets one, for the moment it takes to rename it over the old one. */
static int name_aside(struct savefile *f)
{
	char fd[64];

	if (f->aside)
		return 0;
	snprintf(fd, sizeof fd, "/proc/self/fd/%d", f->fd);
	f->aside = mem_printf("%s.%ld", f->path, (long)getpid());
	if (linkat(AT_FDCWD, fd, AT_FDCWD, f->aside, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	free(f->aside);
	f->aside = NULL;
	return -1;
}

static int put_in_place(struct savefile *f)
{
	if (f->trouble) {
		errno = f->trouble;
		return -1;
	}
	if (!f->path)
		return 0;
	if (fsync(f->fd) || name_aside(f) || rename(f->aside, f->path))
		return -1;
	free(f->aside);
	f->aside = NULL;
	return 0;
}

int savefile_done(struct savefile *f, struct err *e)
{
	int rc = put_in_place(f);

	if (rc)
		err_set(e, "%s: %s", f->path ? f->path : "the file", strerror(errno));
	savefile_drop(f);
	return rc;
}

void savefile_drop(struct savefile *f)
{
	if (!f)
		return;
	if (f->fd >= 0)
		close(f->fd);
	if (f->aside)
		unlink(f->aside);
	free(f->aside);
	free(f->path);
	free(f);
}
