#include "agent/vsock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static int number_take(const char **text, uint32_t *out)
{
	char *end;
	unsigned long long n = strtoull(*text, &end, 10);

	if (end == *text || **text < '0' || **text > '9' || n >= UINT32_MAX)
		return -1;
	*out = (uint32_t)n;
	*text = end;
	return 0;
}

int vsock_parse(const char *text, struct vsock_addr *out, struct err *e)
{
	const char *at = text;
	uint32_t first, second;

	if (strncmp(text, VSOCK_PREFIX, sizeof VSOCK_PREFIX - 1) != 0)
		return err_set(e, "%s: vsock:PORT or vsock:CID:PORT is expected", text);
	at += sizeof VSOCK_PREFIX - 1;
	*out = (struct vsock_addr){.cid = VMADDR_CID_HOST};
	if (number_take(&at, &first) < 0)
		return err_set(e, "%s: vsock:PORT or vsock:CID:PORT is expected", text);
	out->port = first;
	if (*at == ':') {
		at++;
		if (number_take(&at, &second) < 0)
			return err_set(e, "%s: a port is expected after the CID", text);
		*out = (struct vsock_addr){first, second};
	}
	return *at || !out->port ? err_set(e, "%s: vsock:PORT or vsock:CID:PORT is expected", text) : 0;
}

static int socket_open(struct err *e)
{
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 && (errno == EAFNOSUPPORT || errno == EPROTONOSUPPORT))
		return err_set(e, "this kernel has no AF_VSOCK");
	return fd < 0 ? err_sys(e, "vsock") : fd;
}

/* In words of what is plugged together, where the errno would say something else. */
static int trouble(int error, struct err *e)
{
	if (error == ENODEV || error == ENETUNREACH)
		return err_set(e, "this machine has no vsock device");
	if (error == ECONNRESET || error == ECONNREFUSED)
		return err_set(e, "nobody listens there: is the host's agent started with --relay-vsock?");
	return err_set(e, "%s", strerror(error));
}

int vsock_connect(struct vsock_addr to, struct err *e)
{
	struct sockaddr_vm sa = {.svm_family = AF_VSOCK, .svm_cid = to.cid, .svm_port = to.port};
	int fd = socket_open(e), error;

	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0 || errno == EINPROGRESS)
		return fd;
	error = errno;
	close(fd);
	return trouble(error, e);
}

int vsock_result(int fd, struct err *e)
{
	int error = 0;
	socklen_t len = sizeof error;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	return error ? trouble(error, e) : 0;
}

int vsock_listen(uint32_t port, struct err *e)
{
	struct sockaddr_vm sa = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
	int fd = socket_open(e);

	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0 && listen(fd, 64) == 0)
		return fd;
	err_sys(e, "vsock port %u", port);
	close(fd);
	return -1;
}

int vsock_accept(int listen_fd, uint32_t *cid)
{
	struct sockaddr_vm sa = {0};
	socklen_t len = sizeof sa;
	int fd = accept4(listen_fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	*cid = sa.svm_cid;
	return fd;
}
