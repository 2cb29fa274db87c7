#include "collector/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Parents are made too: /var/lib/bothways/collector is the default and needs its parent on a fresh machine. */
static int make_directory(const char *dir, struct err *e)
{
	char *path = mem_strdup(dir);
	for (char *c = path + 1; *c; c++)
		if (*c == '/') {
			*c = '\0';
			mkdir(path, 0755);
			*c = '/';
		}
	int rc = mkdir(path, 0700);
	free(path);
	if (rc && errno != EEXIST)
		return err_sys(e, "state directory %s cannot be made", dir);
	return 0;
}

static int check_directory(const char *dir, struct err *e)
{
	struct stat st;
	if (stat(dir, &st))
		return err_sys(e, "state directory %s", dir);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, "state directory %s is not a directory", dir);
	if (st.st_mode & 077)
		return err_set(e, "state directory %s may be entered by others (mode %03o): it holds keys; chmod 700 %s", dir,
		               st.st_mode & 0777, dir);
	if (access(dir, W_OK | X_OK))
		return err_sys(e, "state directory %s is not writable", dir);
	return 0;
}

static int take_lock(const char *dir, struct err *e)
{
	char *path = mem_printf("%s/" STATE_LOCK, dir), pid[24] = "";
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	free(path);
	if (fd < 0)
		return err_sys(e, "state directory %s is not writable", dir);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
		if (ftruncate(fd, 0) || write(fd, pid, (size_t)n) != n)
			errno = 0; /* the number is only for people; the lock holds without it */
		return fd;
	}
	ssize_t n = read(fd, pid, sizeof pid - 1);
	pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
	close(fd);
	return err_set(e, "state directory %s is in use by another collector%s%s", dir, pid[0] ? ", process " : "", pid);
}

int state_open(const char *dir, struct err *e)
{
	if (make_directory(dir, e) || check_directory(dir, e))
		return -1;
	return take_lock(dir, e);
}

static bool is_absent(const char *path) { return access(path, F_OK) != 0 && errno == ENOENT; }

int state_key(const char *dir, struct keypair *out, struct err *e)
{
	struct keyfile k = {.role = "collector"};
	char *path = mem_printf("%s/collector.key", dir);
	int rc;
	if (is_absent(path)) {
		keypair_make(&k.pair);
		memcpy(k.collector, k.pair.pub, KEY_LEN);
		rc = keyfile_write(path, &k, e);
	} else {
		rc = keyfile_read(path, &k, e);
	}
	*out = k.pair;
	free(path);
	return rc;
}

int state_admin(const char *dir, const struct keypair *collector, const char *advertise, uint8_t pub[static KEY_LEN], struct err *e)
{
	struct keyfile k = {.role = "admin", .name = "admin"};
	char *path = mem_printf("%s/admin.key", dir);
	bool fresh = is_absent(path);
	int rc = 0;
	if (fresh)
		keypair_make(&k.pair);
	else
		rc = keyfile_read(path, &k, e);
	bool changed = strcmp(k.endpoint, advertise) != 0 || memcmp(k.collector, collector->pub, KEY_LEN) != 0;
	if (rc == 0 && (fresh || changed)) {
		str_copy(k.endpoint, sizeof k.endpoint, advertise);
		memcpy(k.collector, collector->pub, KEY_LEN);
		rc = keyfile_write(path, &k, e);
	}
	memcpy(pub, k.pair.pub, KEY_LEN);
	free(path);
	return rc;
}

int state_socket(const char *dir, char *out, size_t size, struct err *e)
{
	size_t limit = sizeof((struct sockaddr_un *)0)->sun_path - 1;
	size_t need = strlen(dir) + 1 + strlen(STATE_SOCKET);
	if (need > limit)
		return err_set(e,
		               "the path of the state directory is too long for its socket: %s/" STATE_SOCKET
		               " has %zu bytes, %zu are possible",
		               dir, need, limit);
	snprintf(out, size, "ipc://%s/" STATE_SOCKET, dir);
	return 0;
}
