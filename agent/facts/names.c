/* names: what this machine takes a name for. */
#include "agent/child.h"
#include "agent/facts/facts.h"
#include "agent/facts/source.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_S_MAX 1
#define HOSTS      "/etc/hosts"

struct names {
	pid_t pid;
	int fd;
	char name[NAME_MAX_LEN];
};

/* What a child says: as many addresses of each family as there is room for. */
struct words {
	char family[2][sizeof((struct text *)0)->text];
	uint8_t hosts;
};

/* ---- in the child, which has a copy of it ---- */

static const char *asked;

static bool in_hosts_file(void)
{
	FILE *f = fopen(HOSTS, "re");
	char line[1024];
	bool found = false;

	while (f && !found && fgets(line, sizeof line, f)) {
		char *at = line, *word;

		line[strcspn(line, "#\n")] = '\0';
		strsep(&at, " \t");
		while (!found && (word = strsep(&at, " \t")))
			found = strcasecmp(word, asked) == 0;
	}
	if (f)
		fclose(f);
	return found;
}

static void address_add(char *to, size_t size, const char *address)
{
	size_t used = strlen(to);

	if (used + 1 + strlen(address) < size)
		snprintf(to + used, size - used, "%s%s", used ? " " : "", address);
}

static void resolver_run(int fd)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *all = NULL;
	struct words w = {0};
	char text[IP_TEXT_MAX];

	alarm(WAIT_S_MAX);
	if (getaddrinfo(asked, NULL, &hints, &all) != 0)
		all = NULL;
	for (const struct addrinfo *i = all; i; i = i->ai_next)
		if (getnameinfo(i->ai_addr, i->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0)
			address_add(w.family[i->ai_family == AF_INET6], sizeof w.family[0], text);
	w.hosts = in_hosts_file();
	_exit(write(fd, &w, sizeof w) == (ssize_t)sizeof w ? 0 : 1);
}

/* ---- in the agent ---- */

static bool is_worth_asking(const char *name)
{
	char own[NAME_MAX_LEN] = "";
	struct ip ip;

	gethostname(own, sizeof own - 1);
	return *name && ip_parse(name, &ip) < 0 && strcasecmp(name, own) != 0 && strncasecmp(name, "localhost", 9) != 0;
}

struct names *names_ask(const char *name)
{
	struct names *n;
	int fds[2];

	if (!is_worth_asking(name) || pipe2(fds, O_CLOEXEC | O_NONBLOCK))
		return NULL;
	n = mem_alloc(sizeof *n);
	str_copy(n->name, sizeof n->name, name);
	n->fd = fds[0];
	asked = n->name;
	n->pid = child_start(resolver_run, fds[1], "bothways-names");
	close(fds[1]);
	if (n->pid > 0)
		return n;
	close(n->fd);
	free(n);
	return NULL;
}

void names_tell(struct names *n, struct snapshot *s)
{
	struct words w;

	if (!n || read(n->fd, &w, sizeof w) != (ssize_t)sizeof w)
		return;
	snapshot_add_text(s, "name.asked", n->name);
	snapshot_add_text(s, "name.ip4", w.family[0]);
	snapshot_add_text(s, "name.ip6", w.family[1]);
	snapshot_add_text(s, "name.hosts", w.hosts ? "yes" : "");
}

void names_free(struct names *n)
{
	if (!n)
		return;
	close(n->fd);
	child_end(n->pid, NULL);
	free(n);
}
