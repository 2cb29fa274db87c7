#include "agent/gather.h"

#include "proto/base/mem.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <unistd.h>

#define BATCH       64
#define BATCHES_MAX 4

struct gather_source {
	struct gather *gather;
	gather_fn *fn;
	void *arg;
	int fd;
	LIST_ENTRY(gather_source) all;
};

struct gather {
	int fd; /* epoll */
	bool eager;
	struct loop_source *source;
	LIST_HEAD(, gather_source) sources;
	struct epoll_event *batch; /* being worked on */
	int batch_count;
};

static void gather_ready(void *arg, int fd, int what)
{
	(void)fd;
	(void)what;
	gather_run(arg);
}

struct gather *gather_new(struct loop *l, struct err *e)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0) {
		err_sys(e, "cannot make an epoll descriptor");
		return NULL;
	}
	struct gather *g = mem_alloc(sizeof(*g));
	*g = (struct gather){.fd = fd, .eager = true};
	LIST_INIT(&g->sources);
	g->source = loop_fd(l, fd, LOOP_READ, gather_ready, g);
	return g;
}

void gather_free(struct gather *g)
{
	if (!g)
		return;
	while (!LIST_EMPTY(&g->sources))
		gather_remove(LIST_FIRST(&g->sources));
	loop_remove(g->source);
	close(g->fd);
	free(g);
}

void gather_eager(struct gather *g, bool eager)
{
	if (g->eager == eager)
		return;
	g->eager = eager;
	loop_fd_want(g->source, eager ? LOOP_READ : 0);
}

struct gather_source *gather_add(struct gather *g, int fd, int what, gather_fn *fn, void *arg)
{
	struct gather_source *s = mem_alloc(sizeof(*s));
	struct epoll_event e = {.data.ptr = s};
	*s = (struct gather_source){.gather = g, .fn = fn, .arg = arg, .fd = fd};
	e.events = (what & LOOP_READ ? EPOLLIN : 0u) | (what & LOOP_WRITE ? EPOLLOUT : 0u) | (what & GATHER_EDGE ? EPOLLET : 0u);
	if (epoll_ctl(g->fd, EPOLL_CTL_ADD, fd, &e) < 0) {
		free(s);
		return NULL;
	}
	LIST_INSERT_HEAD(&g->sources, s, all);
	return s;
}

void gather_remove(struct gather_source *s)
{
	if (!s)
		return;
	struct gather *g = s->gather;
	for (int i = 0; i < g->batch_count; i++)
		if (g->batch[i].data.ptr == s)
			g->batch[i].data.ptr = NULL;
	/* closing the descriptor is not enough: a child that was just forked has it, too, and its events would still come here */
	epoll_ctl(g->fd, EPOLL_CTL_DEL, s->fd, NULL);
	LIST_REMOVE(s, all);
	free(s);
}

static void batch_run(struct gather *g)
{
	for (int i = 0; i < g->batch_count; i++) {
		const struct gather_source *s = g->batch[i].data.ptr;
		uint32_t got = g->batch[i].events;
		int what = got & EPOLLIN ? LOOP_READ : 0;
		what |= (got & EPOLLOUT ? LOOP_WRITE : 0) | (got & (EPOLLERR | EPOLLHUP) ? GATHER_ERROR : 0);
		if (s)
			s->fn(s->arg, s->fd, what);
	}
}

void gather_run(struct gather *g)
{
	struct epoll_event batch[BATCH];
	if (g->batch_count) /* called from within */
		return;
	g->batch = batch;
	for (int i = 0; i < BATCHES_MAX; i++) {
		int n = epoll_wait(g->fd, batch, BATCH, 0);
		g->batch_count = n > 0 ? n : 0;
		batch_run(g);
		g->batch_count = 0;
		if (n < BATCH)
			break;
	}
	g->batch = NULL;
}
