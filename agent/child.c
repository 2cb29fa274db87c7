#include "agent/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define FD_KEPT 3 /* everything above is closed */

/* ---- in the child ---- */

/* Captures are shared with the kernel by memory: as long as we have theirs, they would go on after the agent closed them. */
static void captures_let_go(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[256];

	while (f && fgets(line, sizeof line, f)) {
		unsigned long from, to;

		if (strstr(line, "socket:[") && sscanf(line, "%lx-%lx", &from, &to) == 2)
			munmap((void *)from, to - from);
	}
	if (f)
		fclose(f);
}

/* The agent's handlers write to a socket of its loop, which is its own, too. */
static void signals_reset(void)
{
	static const int handled[] = {SIGTERM, SIGINT, SIGCHLD, SIGPIPE};
	sigset_t none;

	for (size_t i = 0; i < sizeof handled / sizeof *handled; i++)
		signal(handled[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Whatever the agent has open is not ours: a connection that it closes would stay, and what it waits for would go on to wake it. */
static int agent_let_go(int fd)
{
	if (dup2(fd, FD_KEPT) < 0)
		_exit(1);
	close_range(FD_KEPT + 1, ~0u, 0);
	captures_let_go();
	return FD_KEPT;
}

/* ---- in the agent ---- */

static struct {
	pid_t pid; /* 0 = free */
	child_gone_fn *gone;
} ending[CHILDREN_ENDING_MAX];

static struct loop_source *signal_source;

pid_t child_start(child_fn *fn, int fd, const char *name)
{
	pid_t parent = getpid(), pid = fork();

	if (pid != 0)
		return pid;
	signals_reset();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	prctl(PR_SET_NAME, name);
	fn(agent_let_go(fd));
	_exit(0);
}

static bool is_gone(pid_t pid)
{
	pid_t got = waitpid(pid, NULL, WNOHANG);

	return got == pid || (got < 0 && errno == ECHILD);
}

static void ended_reap(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < CHILDREN_ENDING_MAX; i++) {
		child_gone_fn *gone = ending[i].gone;

		if (ending[i].pid == 0 || !is_gone(ending[i].pid))
			continue;
		ending[i].pid = 0;
		if (gone)
			gone();
	}
}

void child_end(pid_t pid, child_gone_fn *gone)
{
	kill(pid, SIGKILL);
	ended_reap(NULL);
	if (is_gone(pid)) {
		if (gone)
			gone();
		return;
	}
	for (size_t i = 0; i < CHILDREN_ENDING_MAX; i++)
		if (ending[i].pid == 0) {
			ending[i].pid = pid;
			ending[i].gone = gone;
			return;
		}
}

void child_watch(struct loop *l)
{
	loop_remove(signal_source);
	signal_source = l ? loop_signal(l, SIGCHLD, ended_reap, NULL) : NULL;
}
