/* watch: tells that something of this machine's network changed; what, the next snapshot shows. */
#include "agent/facts/facts.h"
#include "agent/facts/fw_model.h"
#include "agent/facts/nft.h"
#include "agent/facts/ovs.h"
#include "agent/facts/source.h"
#include "proto/base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>

#define EVENT_BUFFER  16384
#define SETTLE_MS     20 /* changes come in bursts */
#define READS_PER_RUN 32
#define NEIGHS_KNOWN  512 /* power of two */

struct facts_watch {
	struct loop *loop;
	struct mnl_socket *sock[2]; /* rtnetlink, nfnetlink (NULL without the right) */
	struct loop_source *source[2], *timer;
	int64_t quiet_ms;
	bool armed;
	struct mono last; /* when `fn` was called */
	facts_changed_fn *fn;
	void *arg;
	bool of_others;               /* the transaction that is being told of touches tables of others */
	uint32_t known[NEIGHS_KNOWN]; /* neighbours heard of, by hash; forgets */
};

static struct facts_watch *current; /* of this process */

struct news {
	struct facts_watch *watch;
	bool any;
};

static const int route_groups[] = {
    RTNLGRP_LINK,         RTNLGRP_IPV4_IFADDR,
    RTNLGRP_IPV6_IFADDR,  RTNLGRP_IPV4_ROUTE,
    RTNLGRP_IPV6_ROUTE,   RTNLGRP_IPV4_RULE,
    RTNLGRP_IPV6_RULE,    RTNLGRP_NEIGH /* for the bridges' entries */,
    RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF /* some sysctls */,
};
static const int nft_groups[] = {NFNLGRP_NFTABLES};
/* Offloads and most changes of bridge VLANs are told as links; older kernels do not have this one. */
static const int vlan_group = RTNLGRP_BRVLAN;

static void on_quiet(void *arg)
{
	struct facts_watch *w = arg;

	w->armed = false;
	w->last = mono_now();
	w->fn(w->arg);
}

/* At once (as soon as the burst is over) after a quiet time, else when the quiet time is over. */
static void changed(struct facts_watch *w)
{
	int64_t since = mono_ms_since(w->last, mono_now());
	int64_t wait = w->quiet_ms - since;
	int64_t settle = w->quiet_ms < SETTLE_MS ? w->quiet_ms : SETTLE_MS;

	if (w->armed)
		return;
	w->armed = true;
	loop_timer_arm(w->timer, (wait > settle ? wait : settle) * 1000);
}

static uint32_t hash_add(uint32_t hash, const void *data, size_t len)
{
	for (const uint8_t *p = data, *end = p + len; p < end; p++)
		hash = (hash ^ *p) * 16777619u;
	return hash;
}

/* A neighbour that changes its state is nothing new; one with another hardware address is. */
static bool neigh_is_new(struct facts_watch *w, const struct nlmsghdr *h, const struct ndmsg *n)
{
	struct nlattr *attr;
	uint32_t hash = hash_add(2166136261u, &n->ndm_ifindex, sizeof n->ndm_ifindex);
	bool has_mac = false;

	mnl_attr_for_each(attr, h, sizeof *n)
	{
		uint16_t type = mnl_attr_get_type(attr);
		has_mac |= type == NDA_LLADDR;
		if (type == NDA_LLADDR || type == NDA_DST)
			hash = hash_add(hash, mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr));
	}
	if (!has_mac || n->ndm_state & (NUD_INCOMPLETE | NUD_FAILED | NUD_NOARP) || w->known[hash % NEIGHS_KNOWN] == hash)
		return false;
	w->known[hash % NEIGHS_KNOWN] = hash;
	return true;
}

/* Neighbours come and go all the time; only a bridge's entry that moves, or one that was never met, says something. */
static int on_event(const struct nlmsghdr *h, void *arg)
{
	struct news *news = arg;
	const struct ndmsg *n = mnl_nlmsg_get_payload(h);
	bool neigh = h->nlmsg_type == RTM_NEWNEIGH || h->nlmsg_type == RTM_DELNEIGH;
	bool whole = neigh && mnl_nlmsg_get_payload_len(h) >= sizeof *n;
	bool bridge = whole && n->ndm_family == AF_BRIDGE;

	if (!neigh || bridge || (whole && h->nlmsg_type == RTM_NEWNEIGH && neigh_is_new(news->watch, h, n)))
		news->any = true;
	return MNL_CB_OK;
}

_Static_assert(NFTA_CHAIN_TABLE == (int)NFTA_TABLE_NAME && NFTA_RULE_TABLE == (int)NFTA_TABLE_NAME &&
                   NFTA_SET_TABLE == (int)NFTA_TABLE_NAME && NFTA_SET_ELEM_LIST_TABLE == (int)NFTA_TABLE_NAME &&
                   NFTA_OBJ_TABLE == (int)NFTA_TABLE_NAME && NFTA_FLOWTABLE_TABLE == (int)NFTA_TABLE_NAME,
               "the table's name is the first attribute of all of them");

/* Every message of a transaction names its table, but the last, which gives the generation only. */
bool watch_nft_is_news(const struct nlmsghdr *h)
{
	const struct nlattr *tb[NFTA_TABLE_NAME + 1];

	if (NFNL_MSG_TYPE(h->nlmsg_type) == NFT_MSG_NEWGEN)
		return false;
	if (mnl_nlmsg_get_payload_len(h) < sizeof(struct nfgenmsg))
		return true;
	nl_attrs(h, sizeof(struct nfgenmsg), tb, NFTA_TABLE_NAME);
	return !tb[NFTA_TABLE_NAME] || !fw_table_is_ours(mnl_attr_get_str(tb[NFTA_TABLE_NAME]));
}

static void transaction_ends(struct facts_watch *w, const struct nlmsghdr *h)
{
	const struct nlattr *tb[NFTA_GEN_MAX + 1];

	nl_attrs(h, sizeof(struct nfgenmsg), tb, NFTA_GEN_MAX);
	if (tb[NFTA_GEN_ID])
		nft_generation_told(ntohl(nl_u32(tb[NFTA_GEN_ID])), !w->of_others);
	w->of_others = false;
}

static int on_nft_event(const struct nlmsghdr *h, void *arg)
{
	struct news *news = arg;

	if (NFNL_MSG_TYPE(h->nlmsg_type) == NFT_MSG_NEWGEN)
		transaction_ends(news->watch, h);
	else if (watch_nft_is_news(h))
		news->any = news->watch->of_others = true;
	return MNL_CB_OK;
}

static void sock_read(struct facts_watch *w, struct mnl_socket *sock, mnl_cb_t fn)
{
	char *buf = mem_alloc(EVENT_BUFFER);
	struct news news = {w, false};

	for (int i = 0; i < READS_PER_RUN; i++) {
		ssize_t got = recv(mnl_socket_get_fd(sock), buf, EVENT_BUFFER, MSG_DONTWAIT);

		if (got < 0 && errno == ENOBUFS) /* events were lost: that is a change, too */
			news.any = w->of_others = true;
		else if (got <= 0)
			break;
		else
			mnl_cb_run(buf, (size_t)got, 0, 0, fn, &news);
	}
	free(buf);
	if (news.any)
		changed(w);
}

static void on_route_sock(void *arg, int fd, int what)
{
	struct facts_watch *w = arg;

	(void)fd;
	(void)what;
	sock_read(w, w->sock[0], on_event);
}

static void on_nft_sock(void *arg, int fd, int what)
{
	struct facts_watch *w = arg;

	(void)fd;
	(void)what;
	sock_read(w, w->sock[1], on_nft_event);
}

static void on_ovs(void *arg) { changed(arg); }

bool watch_catch_up(void)
{
	if (!current || !current->sock[1])
		return false;
	sock_read(current, current->sock[1], on_nft_event);
	return true;
}

void watch_look_again(void)
{
	if (current)
		changed(current);
}

static struct mnl_socket *subscribe(int bus, const int *groups, size_t count)
{
	struct mnl_socket *s = mnl_socket_open2(bus, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (!s || mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0)
		goto failed;
	for (size_t i = 0; i < count; i++) {
		int group = groups[i];

		if (mnl_socket_setsockopt(s, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
			goto failed;
	}
	return s;
failed:
	if (s)
		mnl_socket_close(s);
	return NULL;
}

struct facts_watch *facts_watch_new(struct loop *l, int64_t quiet_ms, facts_changed_fn *fn, void *arg, struct err *e)
{
	struct facts_watch *w = mem_alloc(sizeof *w);

	*w = (struct facts_watch){.loop = l, .quiet_ms = quiet_ms, .fn = fn, .arg = arg};
	w->last = mono_add_ms(mono_now(), -quiet_ms);
	current = w;
	w->sock[0] = subscribe(NETLINK_ROUTE, route_groups, sizeof route_groups / sizeof *route_groups);
	if (!w->sock[0]) {
		err_sys(e, "watching the network's state");
		facts_watch_free(w);
		return NULL;
	}
	mnl_socket_setsockopt(w->sock[0], NETLINK_ADD_MEMBERSHIP, (void *)(uintptr_t)&vlan_group, sizeof vlan_group);
	w->sock[1] = subscribe(NETLINK_NETFILTER, nft_groups, 1); /* without the right, rulesets are not read either */
	w->timer = loop_timer(l, on_quiet, w);
	ovs_watch(l, on_ovs, w);
	w->source[0] = loop_fd(l, mnl_socket_get_fd(w->sock[0]), LOOP_READ, on_route_sock, w);
	if (w->sock[1])
		w->source[1] = loop_fd(l, mnl_socket_get_fd(w->sock[1]), LOOP_READ, on_nft_sock, w);
	return w;
}

void facts_watch_free(struct facts_watch *w)
{
	if (!w)
		return;
	ovs_watch(NULL, NULL, NULL);
	if (current == w)
		current = NULL;
	loop_remove(w->timer);
	for (int i = 0; i < 2; i++) {
		loop_remove(w->source[i]);
		if (w->sock[i])
			mnl_socket_close(w->sock[i]);
	}
	free(w);
}
