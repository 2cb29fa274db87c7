#include "agent/listener.h"

#include "proto/base/mem.h"

#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFERS_ALL  (1280 * 1024) /* bytes, shared by the handles of a round: they are in our memory while it lasts */
#define BUFFER_MAX   (128 * 1024)
#define BUFFER_MIN   (48 * 1024)
#define OPENERS_MAX  16
#define CLOSERS_MAX  4 /* nobody waits for them */
#define THREAD_STACK (256 * 1024)
#define TRIES        3

/* What libpcap takes for a filter is what the kernel takes. */
#define SAME_FIELD(a, b)                                                                                                           \
	(offsetof(struct bpf_insn, a) == offsetof(struct sock_filter, b) &&                                                        \
	 sizeof(((struct bpf_insn *)0)->a) == sizeof(((struct sock_filter *)0)->b))
_Static_assert(sizeof(struct bpf_insn) == sizeof(struct sock_filter) && SAME_FIELD(code, code) && SAME_FIELD(jt, jt) &&
                   SAME_FIELD(jf, jf) && SAME_FIELD(k, k),
               "libpcap and the kernel have instructions of one layout");

/* ---- many hands ---- */

/* Items of work, done by several threads at once. The last one to leave frees it. */
struct crew {
	void (*work)(struct crew *c, void *item);
	const struct sock_filter *filter;
	size_t filter_len;
	int buffer;
	size_t count;
	atomic_size_t next, members;
	void *items[];
};

static struct crew *crew_new(void (*work)(struct crew *c, void *item), size_t count)
{
	struct crew *c = mem_alloc(sizeof *c + count * sizeof c->items[0]);

	c->work = work;
	c->count = count;
	atomic_init(&c->next, 0);
	atomic_init(&c->members, 1);
	return c;
}

static void *crew_work(void *arg)
{
	struct crew *c = arg;

	for (size_t i; (i = atomic_fetch_add(&c->next, 1)) < c->count;)
		c->work(c, c->items[i]);
	if (atomic_fetch_sub(&c->members, 1) == 1)
		free(c);
	return NULL;
}

static bool crew_hire(struct crew *c, pthread_t *thread, bool detached)
{
	pthread_attr_t attr;
	int failed;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	pthread_attr_setdetachstate(&attr, detached ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
	atomic_fetch_add(&c->members, 1);
	failed = pthread_create(thread, &attr, crew_work, c);
	pthread_attr_destroy(&attr);
	if (failed)
		atomic_fetch_sub(&c->members, 1);
	return !failed;
}

/* ---- opening ---- */

static void listener_off(struct listener *l, const char *why)
{
	str_copy(l->why, sizeof l->why, why);
	l->state = LISTENER_OFF;
}

static void give_up(struct listener *l, const char *why)
{
	listener_off(l, why);
	if (l->pcap)
		pcap_close(l->pcap);
	l->pcap = NULL;
}

/* In the kernel: the same filter behind a look at the direction. libpcap itself cannot be given this one: it tries the first
 * frames in user space, where no direction can be looked at. */
static int direction_attach(const struct listener *l, const struct crew *c)
{
	const bool out = l->way == FRAME_OUT;
	const struct sock_filter head[] = {{BPF_LD | BPF_B | BPF_ABS, 0, 0, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)},
	                                   {BPF_JMP | BPF_JEQ | BPF_K, out, !out, PACKET_OUTGOING},
	                                   {BPF_RET | BPF_K, 0, 0, 0}};
	const size_t before = sizeof head / sizeof *head;
	struct sock_filter *ops = mem_array(before + c->filter_len, sizeof *ops);
	struct sock_fprog program = {.len = (unsigned short)(before + c->filter_len), .filter = ops};
	int result;

	memcpy(ops, head, sizeof head);
	memcpy(ops + before, c->filter, c->filter_len * sizeof *ops);
	result = setsockopt(pcap_fileno(l->pcap), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
	free(ops);
	return result;
}

static int filter_set(struct listener *l, const struct crew *c)
{
	struct bpf_program program = {.bf_len = (unsigned)c->filter_len, .bf_insns = (struct bpf_insn *)c->filter};

	return pcap_setdirection(l->pcap, l->way == FRAME_OUT ? PCAP_D_OUT : PCAP_D_IN) || pcap_setfilter(l->pcap, &program) ||
	               direction_attach(l, c)
	           ? -1
	           : 0;
}

static void ignore(u_char *user, const struct pcap_pkthdr *h, const u_char *bytes)
{
	(void)user;
	(void)h;
	(void)bytes;
}

/* What came before there was a filter goes, and is no loss. */
static void begin(struct listener *l)
{
	struct pcap_stat stat;

	pcap_dispatch(l->pcap, -1, ignore, NULL);
	if (pcap_stats(l->pcap, &stat) == 0)
		l->dropped_before = stat.ps_drop;
	l->state = LISTENER_ON;
}

/* What the kernel says of an interface by its name; false if it says nothing. */
static bool interface_ask(const struct listener *l, unsigned long what, struct ifreq *out)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool told;

	*out = (struct ifreq){0};
	str_copy(out->ifr_name, sizeof out->ifr_name, l->ifname);
	told = fd >= 0 && ioctl(fd, what, out) == 0;
	if (fd >= 0)
		close(fd);
	return told;
}

static bool is_ethernet(const struct listener *l)
{
	struct ifreq r;

	return interface_ask(l, SIOCGIFHWADDR, &r) &&
	       (r.ifr_hwaddr.sa_family == ARPHRD_ETHER || r.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK);
}

bool listener_overslept(const struct listener *l)
{
	struct ifreq r;

	return l->state == LISTENER_ASLEEP && interface_ask(l, SIOCGIFFLAGS, &r) && r.ifr_flags & IFF_UP;
}

static int activate(struct listener *l, int buffer)
{
	pcap_set_snaplen(l->pcap, LISTENER_SNAP);
	pcap_set_promisc(l->pcap, 0);
	pcap_set_immediate_mode(l->pcap, 1);
	pcap_set_buffer_size(l->pcap, buffer);
	pcap_set_tstamp_precision(l->pcap, PCAP_TSTAMP_PRECISION_NANO);
	return pcap_activate(l->pcap);
}

static void listener_open(struct crew *c, void *item)
{
	struct listener *l = item;
	char text[PCAP_ERRBUF_SIZE] = "";
	int result;

	l->pcap = pcap_create(l->ifname, text);
	if (!l->pcap) {
		give_up(l, text);
		return;
	}
	result = activate(l, c->buffer);
	if (result == PCAP_ERROR_IFACE_NOT_UP && is_ethernet(l)) {
		give_up(l, "the interface is down");
		l->state = LISTENER_ASLEEP;
	} else if (result == PCAP_ERROR_NO_SUCH_DEVICE) {
		give_up(l, "no such interface");
	} else if (result == PCAP_ERROR_IFACE_NOT_UP || (result >= 0 && pcap_datalink(l->pcap) != DLT_EN10MB)) {
		give_up(l, "not an Ethernet device");
	} else if (result < 0) {
		give_up(l, result == PCAP_ERROR ? pcap_geterr(l->pcap) : pcap_statustostr(result));
	} else if (filter_set(l, c) || pcap_setnonblock(l->pcap, 1, text)) {
		give_up(l, text[0] ? text : pcap_geterr(l->pcap));
	} else {
		begin(l);
	}
}

static int buffer_size(size_t handles)
{
	size_t share = BUFFERS_ALL / (handles ? handles : 1);

	return (int)(share > BUFFER_MAX ? BUFFER_MAX : share < BUFFER_MIN ? BUFFER_MIN : share);
}

void listeners_open(struct listener *const *all, size_t count, const struct sock_filter *filter, size_t filter_len)
{
	struct crew *c = crew_new(listener_open, count);
	pthread_t threads[OPENERS_MAX];
	size_t hired = 0;

	c->filter = filter;
	c->filter_len = filter_len;
	c->buffer = buffer_size(count);
	for (size_t i = 0; i < count; i++)
		c->items[i] = all[i];
	while (hired < OPENERS_MAX && hired + 1 < count && crew_hire(c, &threads[hired], false))
		hired++;
	crew_work(c);
	for (size_t i = 0; i < hired; i++)
		pthread_join(threads[i], NULL);
}

/* ---- the end ---- */

static void handle_close(struct crew *c, void *item)
{
	(void)c;
	pcap_close(item);
}

void listeners_close(struct listener *const *all, size_t count)
{
	struct crew *c = crew_new(handle_close, count);
	pthread_t thread;
	size_t handles = 0, hired = 0;

	for (size_t i = 0; i < count; i++)
		if (all[i]->pcap)
			c->items[handles++] = all[i]->pcap;
	c->count = handles;
	while (hired < CLOSERS_MAX && hired < handles && crew_hire(c, &thread, true))
		hired++;
	if (hired == 0)
		crew_work(c); /* there is nothing to do, or nobody else to do it */
	else if (atomic_fetch_sub(&c->members, 1) == 1)
		free(c);
}

/* ---- frames ---- */

int listener_fd(const struct listener *l) { return pcap_get_selectable_fd(l->pcap); }

static bool is_gone(const struct listener *l)
{
	struct sockaddr_ll at = {0};
	socklen_t len = sizeof at;

	return getsockname(pcap_fileno(l->pcap), (struct sockaddr *)&at, &len) || at.sll_ifindex <= 0;
}

static bool has_something(const struct listener *l)
{
	struct pollfd p = {.fd = pcap_fileno(l->pcap), .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

static int lost(struct listener *l, const char *why)
{
	listener_off(l, why);
	return -1;
}

/* libpcap calls an interface vanished that was down and got another name: it is asked for by number, and heard again when it is up.
 * Only what stays wrong while there is something to be read is the end. */
int listener_next(struct listener *l, struct listener_frame *out)
{
	struct pcap_pkthdr *h;
	const u_char *bytes;
	int got;

	for (int i = 0; i < TRIES; i++) {
		got = pcap_next_ex(l->pcap, &h, &bytes);
		if (got == 0)
			return 0;
		if (got == 1) {
			*out =
			    (struct listener_frame){bytes, h->caplen, h->len, {(int64_t)h->ts.tv_sec * 1000000000 + h->ts.tv_usec}};
			return 1;
		}
		if (is_gone(l))
			return lost(l, "the interface was removed");
		if (!has_something(l))
			return 0;
	}
	return lost(l, pcap_geterr(l->pcap));
}

uint32_t listener_dropped(struct listener *l)
{
	struct pcap_stat stat;

	return pcap_stats(l->pcap, &stat) ? 0 : stat.ps_drop - l->dropped_before;
}
