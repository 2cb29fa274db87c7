#include "agent/drops_child.h"
#include "agent/drops_bpf.h"
#include "agent/drops_match.h"
#include "agent/trace.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WATCHES_MAX 16

struct watch {
	bool used;
	struct round_spec spec;
	struct looked drops, rules;
	uint64_t lost_before;
	struct trace *trace;
	struct drop_nameless nameless;
};

static struct child {
	int fd;
	struct drops_bpf *bpf;
	struct watch watches[WATCHES_MAX];
} child;

static void record_send(const struct drops_record *record)
{
	while (send(child.fd, record, sizeof *record, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			_exit(0); /* the agent is gone */
}

/* ---- drops ---- */

/* Whose is it? What only NAT could explain counts when no other round knows it better. */
static struct watch *watch_of(const struct drop_event *event, const struct packet *p, struct flow_drop *out)
{
	for (int wholly = 1; wholly >= 0; wholly--)
		for (size_t i = 0; i < WATCHES_MAX; i++) {
			struct watch *w = &child.watches[i];

			if (w->used && w->drops.looked && drop_match(event, p, &w->spec, wholly, &w->nameless, out) == 0)
				return w;
		}
	return NULL;
}

static void on_drop(void *arg, const struct drop_event *event)
{
	struct drops_record record = {.what = RECORD_DROP};
	struct flow_drop *drop = &record.u.drop;
	struct packet p;
	struct watch *w;

	(void)arg;
	if (drop_parse(event, &p) || !(w = watch_of(event, &p, drop)))
		return;
	drops_bpf_reason(child.bpf, event->reason, drop->reason, sizeof drop->reason);
	record.round = w->spec.id;
	if (!drop_is_noise(&p, drop))
		record_send(&record);
}

static void number_add(struct drop_wanted *wanted, unsigned number)
{
	wanted->numbers[number % 65536 / 64] |= 1ull << (number % 64);
}

/* What the kernel lets through: the numbers of all rounds that are on. Others' packets with the same ones are told apart here. */
static bool numbers_set(void)
{
	struct drop_wanted *wanted = drops_bpf_wanted(child.bpf);
	bool any = false;

	memset(wanted->numbers, 0, sizeof wanted->numbers);
	for (size_t i = 0; i < WATCHES_MAX; i++) {
		const struct watch *w = &child.watches[i];

		for (size_t k = 0; w->used && w->drops.looked && k < w->spec.flow_count; k++) {
			const struct flow *f = &w->spec.flows[k];

			any = true;
			number_add(wanted, f->dport);
			for (unsigned seq = 0; seq < f->count; seq++)
				number_add(wanted, f->id_base + seq);
		}
	}
	return any;
}

static int drops_start(struct watch *w, struct err *e)
{
	char why[REASON_MAX_LEN];

	if (!drops_bpf_possible(why, sizeof why)) /* cheaper than trying */
		return err_set(e, "%s", why);
	if (!child.bpf)
		child.bpf = drops_bpf_new(e);
	if (!child.bpf)
		return -1;
	w->lost_before = drops_bpf_lost(child.bpf);
	w->drops.looked = true;
	numbers_set();
	return drops_bpf_attach(child.bpf, e);
}

static void drops_finish(struct watch *w)
{
	if (!w->drops.looked)
		return;
	drops_bpf_read(child.bpf, on_drop, NULL);
	w->drops.lost = (uint32_t)(drops_bpf_lost(child.bpf) - w->lost_before);
}

/* ---- rules ---- */

static void on_rule(void *arg, const struct flow_rule *rule)
{
	struct watch *w = arg;
	struct drops_record record = {.what = RECORD_RULE, .round = w->spec.id};

	record.u.rule = *rule;
	record_send(&record);
}

static void rules_finish(struct watch *w)
{
	if (!w->trace)
		return;
	trace_read(w->trace, on_rule, w);
	w->rules.lost = trace_lost(w->trace);
}

/* ---- orders ---- */

static void looked_send(const struct watch *w, uint8_t what)
{
	struct drops_record record = {.what = what, .round = w->spec.id};

	record.u.looked.drops = w->drops;
	record.u.looked.rules = w->rules;
	record_send(&record);
}

/* Tells first: for the kernel to take away a table and a probe of its own may take a while. */
static void watch_end(struct watch *w)
{
	struct trace *trace = w->trace;

	drops_finish(w);
	rules_finish(w);
	looked_send(w, RECORD_ENDED);
	*w = (struct watch){0};
	if (child.bpf && !numbers_set())
		drops_bpf_detach(child.bpf);
	trace_free(trace);
}

static struct watch *watch_find(uint64_t round)
{
	for (size_t i = 0; i < WATCHES_MAX; i++)
		if (child.watches[i].used && child.watches[i].spec.id == round)
			return &child.watches[i];
	return NULL;
}

static void watch_arm(const struct drops_order *order)
{
	struct watch *w = watch_find(order->spec.id);
	struct err e = {""};

	if (w)
		watch_end(w);
	for (size_t i = 0; i < WATCHES_MAX && !w; i++)
		if (!child.watches[i].used)
			w = &child.watches[i];
	if (!w)
		return; /* never: the agent has no more at once */
	*w = (struct watch){.used = true, .spec = order->spec};
	if (order->name_drops && drops_start(w, &e)) {
		w->drops.looked = false;
		str_copy(w->drops.why, sizeof w->drops.why, e.text);
	}
	w->rules.looked = order->name_rules && (w->trace = trace_new(&w->spec, &e));
	if (order->name_rules && !w->rules.looked)
		str_copy(w->rules.why, sizeof w->rules.why, e.text);
	looked_send(w, RECORD_READY);
}

static void order_take(void)
{
	static struct drops_order order;
	ssize_t got = recv(child.fd, &order, sizeof order, 0);
	struct watch *w;

	if (got < 0 && errno == EINTR)
		return;
	if (got != (ssize_t)sizeof order)
		_exit(0); /* the agent needs us no more, or is gone: the kernel takes everything away with us */
	if (order.what == ORDER_ARM)
		watch_arm(&order);
	else if ((w = watch_find(order.spec.id)))
		watch_end(w);
}

/* ---- life ---- */

static void wait_and_work(void)
{
	struct pollfd fds[2 + WATCHES_MAX] = {{.fd = child.fd, .events = POLLIN}, {.fd = -1, .events = POLLIN}};

	if (child.bpf)
		fds[1].fd = drops_bpf_fd(child.bpf);
	for (size_t i = 0; i < WATCHES_MAX; i++)
		fds[2 + i] =
		    (struct pollfd){.fd = child.watches[i].trace ? trace_fd(child.watches[i].trace) : -1, .events = POLLIN};
	if (poll(fds, 2 + WATCHES_MAX, -1) < 0)
		return;
	if (fds[1].revents)
		drops_bpf_read(child.bpf, on_drop, NULL);
	for (size_t i = 0; i < WATCHES_MAX; i++)
		if (fds[2 + i].revents)
			trace_read(child.watches[i].trace, on_rule, &child.watches[i]);
	if (fds[0].revents)
		order_take();
}

void drops_child_run(int fd)
{
	child.fd = fd;
	for (;;)
		wait_and_work();
}
