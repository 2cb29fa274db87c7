/* queue: what limits or takes away packets at an interface: queueing disciplines with a rate, tc filters that redirect or drop, and
 * of physical interfaces how large their rings are and how often they lost their carrier or had to be reset. */
#include "agent/facts/source.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/tc_act/tc_gact.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(a)      (sizeof(a) / sizeof *(a))
#define HOOKED_MAX    256 /* devices whose filters are looked at */
#define PHYSICAL_MAX  16  /* interfaces that are asked one by one */
#define ACTIONS_MAX   32
#define TX_QUEUES_MAX 64
#define EGRESS        TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)
#define INGRESS       TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)

struct queues {
	struct snapshot *s;
	size_t hooked_count;
	uint32_t hooked[HOOKED_MAX];
};

static void text_of_link(struct snapshot *s, uint32_t index, const char *what, const char *text)
{
	const struct link *l = snapshot_link(s, index);
	char name[96];

	if (!l)
		return;
	snprintf(name, sizeof name, "link.%s.%s", l->name, what);
	if (!snapshot_text(s, name))
		snapshot_add_text(s, name, text);
}

/* ---- disciplines ---- */

/* In kbit/s; 0 = not told. */
static uint64_t tbf_rate(const struct nlattr *options)
{
	const struct nlattr *tb[TCA_TBF_MAX + 1];
	struct tc_tbf_qopt q;

	nl_nested(options, tb, TCA_TBF_MAX);
	if (tb[TCA_TBF_RATE64])
		return nl_u64(tb[TCA_TBF_RATE64]) / 125;
	if (!tb[TCA_TBF_PARMS] || mnl_attr_get_payload_len(tb[TCA_TBF_PARMS]) < sizeof q)
		return 0;
	memcpy(&q, mnl_attr_get_payload(tb[TCA_TBF_PARMS]), sizeof q);
	return q.rate.rate / 125;
}

/* Those that hold packets back; fq_codel and the like only share what there is. */
static bool is_limiter(const char *kind)
{
	static const char *const kinds[] = {"tbf", "htb", "hfsc", "cbq", "netem", "cake"};

	for (size_t i = 0; i < COUNT(kinds); i++)
		if (strcmp(kind, kinds[i]) == 0)
			return true;
	return false;
}

static bool is_text(const struct nlattr *a) { return a && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0; }

void queue_read(struct snapshot *s, const struct nlmsghdr *h)
{
	const struct nlattr *tb[TCA_MAX + 1];
	const struct tcmsg *t = mnl_nlmsg_get_payload(h);
	char text[64];

	if (mnl_nlmsg_get_payload_len(h) < sizeof *t)
		return;
	nl_attrs(h, sizeof *t, tb, TCA_MAX);
	if (t->tcm_parent != TC_H_ROOT || !is_text(tb[TCA_KIND]) || !is_limiter(mnl_attr_get_str(tb[TCA_KIND])))
		return;
	uint64_t rate = strcmp(mnl_attr_get_str(tb[TCA_KIND]), "tbf") == 0 ? tbf_rate(tb[TCA_OPTIONS]) : 0;
	if (rate)
		snprintf(text, sizeof text, "tbf %llu kbit/s", (unsigned long long)rate);
	else
		snprintf(text, sizeof text, "%.31s", mnl_attr_get_str(tb[TCA_KIND]));
	text_of_link(s, (uint32_t)t->tcm_ifindex, "limit", text);
}

static int on_queue(const struct nlmsghdr *h, void *arg)
{
	struct queues *q = arg;
	const struct tcmsg *t = mnl_nlmsg_get_payload(h);

	queue_read(q->s, h);
	if (mnl_nlmsg_get_payload_len(h) >= sizeof *t && t->tcm_parent == TC_H_CLSACT && q->hooked_count < HOOKED_MAX)
		q->hooked[q->hooked_count++] = (uint32_t)t->tcm_ifindex;
	return MNL_CB_OK;
}

/* ---- filters ---- */

static const char *action_read(const struct nlattr *action)
{
	const struct nlattr *tb[TCA_ACT_MAX + 1], *more[8];
	const char *kind;

	nl_nested(action, tb, TCA_ACT_MAX);
	if (!is_text(tb[TCA_ACT_KIND]))
		return NULL;
	kind = mnl_attr_get_str(tb[TCA_ACT_KIND]);
	nl_nested(tb[TCA_ACT_OPTIONS], more, 7);
	if (strcmp(kind, "mirred") == 0 && more[TCA_MIRRED_PARMS] &&
	    mnl_attr_get_payload_len(more[TCA_MIRRED_PARMS]) >= sizeof(struct tc_mirred)) {
		struct tc_mirred m;

		memcpy(&m, mnl_attr_get_payload(more[TCA_MIRRED_PARMS]), sizeof m);
		return m.eaction == TCA_EGRESS_REDIR || m.eaction == TCA_INGRESS_REDIR ? "redirects" : NULL;
	}
	if (strcmp(kind, "gact") == 0 && more[TCA_GACT_PARMS] &&
	    mnl_attr_get_payload_len(more[TCA_GACT_PARMS]) >= sizeof(struct tc_gact)) {
		struct tc_gact g;

		memcpy(&g, mnl_attr_get_payload(more[TCA_GACT_PARMS]), sizeof g);
		return g.action == TC_ACT_SHOT ? "drops" : NULL;
	}
	return NULL;
}

/* Where each kind of filter keeps its actions. */
static const struct nlattr *actions_of(const char *kind, const struct nlattr *options)
{
	static const struct {
		const char *kind;
		uint16_t at;
	} places[] = {{"u32", TCA_U32_ACT}, {"bpf", TCA_BPF_ACT}, {"flower", TCA_FLOWER_ACT}, {"matchall", TCA_MATCHALL_ACT}};
	const struct nlattr *tb[TCA_FLOWER_MAX + 1];

	nl_nested(options, tb, TCA_FLOWER_MAX);
	for (size_t i = 0; i < COUNT(places); i++)
		if (strcmp(kind, places[i].kind) == 0)
			return tb[places[i].at];
	return NULL;
}

void filter_read(struct snapshot *s, const struct nlmsghdr *h)
{
	const struct nlattr *tb[TCA_MAX + 1], *actions, *a;
	const struct tcmsg *t = mnl_nlmsg_get_payload(h);

	if (mnl_nlmsg_get_payload_len(h) < sizeof *t)
		return;
	nl_attrs(h, sizeof *t, tb, TCA_MAX);
	actions = is_text(tb[TCA_KIND]) ? actions_of(mnl_attr_get_str(tb[TCA_KIND]), tb[TCA_OPTIONS]) : NULL;
	if (!actions)
		return;
	mnl_attr_for_each_nested(a, actions)
	{
		const char *what = action_read(a);

		if (what)
			text_of_link(s, (uint32_t)t->tcm_ifindex, t->tcm_parent == EGRESS ? "tc_egress" : "tc_ingress", what);
	}
}

static int on_filter(const struct nlmsghdr *h, void *arg)
{
	filter_read(arg, h);
	return MNL_CB_OK;
}

static void filters_of(struct nl *n, struct snapshot *s, uint32_t index, uint32_t parent)
{
	struct nlmsghdr *h = nl_request(n, RTM_GETTFILTER, NLM_F_DUMP, sizeof(struct tcmsg));
	struct tcmsg *t = mnl_nlmsg_get_payload(h);

	t->tcm_ifindex = (int)index;
	t->tcm_parent = parent;
	(void)nl_talk(n, h, on_filter, s);
}

/* ---- physical interfaces ---- */

static void counter_of_link(struct snapshot *s, const char *ifname, const char *what, int64_t v)
{
	char name[96];

	snprintf(name, sizeof name, "link.%s.%s", ifname, what);
	snapshot_add_counter(s, name, v);
}

static void ring_read(struct snapshot *s, int fd, const char *ifname)
{
	struct ethtool_ringparam ring = {.cmd = ETHTOOL_GRINGPARAM};
	struct ifreq r = {.ifr_data = (void *)&ring};

	str_copy(r.ifr_name, sizeof r.ifr_name, ifname);
	if (ioctl(fd, SIOCETHTOOL, &r) < 0 || !ring.rx_max_pending)
		return;
	counter_of_link(s, ifname, "ring", ring.rx_pending);
	counter_of_link(s, ifname, "ring_max", ring.rx_max_pending);
}

static void number_read(struct snapshot *s, const char *ifname, const char *path, const char *what)
{
	char full[160], text[32];

	snprintf(full, sizeof full, "/sys/class/net/%s/%s", ifname, path);
	if (proc_file_read(full, text, sizeof text) > 0)
		counter_of_link(s, ifname, what, strtoll(text, NULL, 10));
}

/* Of all queues: which one hangs is a matter of the flow. */
static void timeouts_read(struct snapshot *s, const char *ifname, uint16_t queues)
{
	int64_t sum = 0;
	bool known = false;

	for (unsigned i = 0; i < (queues ? queues : 1u) && i < TX_QUEUES_MAX; i++) {
		char path[96], text[32];

		snprintf(path, sizeof path, "/sys/class/net/%s/queues/tx-%u/tx_timeout", ifname, i);
		if (proc_file_read(path, text, sizeof text) <= 0)
			break;
		known = true;
		sum += strtoll(text, NULL, 10);
	}
	if (known)
		counter_of_link(s, ifname, "tx_timeouts", sum);
}

static void physical_read(struct snapshot *s)
{
	static const char *const files[][2] = {
	    {"carrier_changes", "carrier_changes"}, {"statistics/rx_bytes", "rx_bytes"}, {"statistics/tx_bytes", "tx_bytes"}};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	size_t asked = 0;

	for (size_t i = 0; i < s->link_count && fd >= 0 && asked < PHYSICAL_MAX; i++) {
		const struct link *l = &s->links[i];

		if (l->kind[0] || l->loopback)
			continue;
		asked++;
		ring_read(s, fd, l->name);
		timeouts_read(s, l->name, l->tx_queues);
		for (size_t k = 0; k < COUNT(files); k++)
			number_read(s, l->name, files[k][0], files[k][1]);
	}
	if (fd >= 0)
		close(fd);
}

int fact_read_queues(struct snapshot *s, struct err *e)
{
	struct queues *q = mem_alloc(sizeof *q);
	struct nl n;

	q->s = s;
	if (nl_open(&n, NETLINK_ROUTE, e) == 0) {
		(void)nl_talk(&n, nl_request(&n, RTM_GETQDISC, NLM_F_DUMP, sizeof(struct tcmsg)), on_queue, q);
		for (size_t i = 0; i < q->hooked_count; i++) {
			filters_of(&n, s, q->hooked[i], INGRESS);
			filters_of(&n, s, q->hooked[i], EGRESS);
		}
		nl_close(&n);
	}
	physical_read(s);
	free(q);
	return 0;
}
