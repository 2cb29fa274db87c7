/* ethtool: offloads, queues and speed of all links by a handful of netlink dumps, and their drivers by one old ioctl each,
 * which is the only way that works in every namespace and without rights. What the kernel does not tell stays unknown. */
#include "agent/facts/source.h"
#include "proto/base/mem.h"

#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(a)     (sizeof(a) / sizeof *(a))
#define FEATURES_MAX 256 /* bits in the kernel's set */

static const struct {
	const char *name;
	uint32_t bit;
} offload_names[] = {
    {"rx-checksum", OFFLOAD_RX_CSUM},
    {"tx-checksum-ipv4", OFFLOAD_TX_CSUM},
    {"tx-checksum-ip-generic", OFFLOAD_TX_CSUM},
    {"tx-checksum-ipv6", OFFLOAD_TX_CSUM},
    {"tx-tcp-segmentation", OFFLOAD_TSO},
    {"tx-tcp6-segmentation", OFFLOAD_TSO},
    {"tx-generic-segmentation", OFFLOAD_GSO},
    {"rx-gro", OFFLOAD_GRO},
    {"rx-lro", OFFLOAD_LRO},
    {"rx-vlan-hw-parse", OFFLOAD_RX_VLAN},
    {"tx-vlan-hw-insert", OFFLOAD_TX_VLAN},
};

/* Which offload a bit of the running kernel's set is. The kernel does not change while we run: asked once. */
static uint32_t meanings[FEATURES_MAX];
static bool meanings_known;

struct pull {
	struct snapshot *s;
	struct link *hint; /* links come in the same order every time */
};

/* ---- pure ---- */

static void meaning_read(const struct nlattr *string, uint32_t out[static FEATURES_MAX])
{
	const struct nlattr *tb[ETHTOOL_A_STRING_MAX + 1];
	uint32_t index;

	nl_nested(string, tb, ETHTOOL_A_STRING_MAX);
	index = nl_u32(tb[ETHTOOL_A_STRING_INDEX]);
	if (!tb[ETHTOOL_A_STRING_INDEX] || !tb[ETHTOOL_A_STRING_VALUE] || index >= FEATURES_MAX)
		return;
	for (size_t i = 0; i < COUNT(offload_names); i++)
		if (strcmp(mnl_attr_get_str(tb[ETHTOOL_A_STRING_VALUE]), offload_names[i].name) == 0)
			out[index] = offload_names[i].bit;
}

/* An answer to STRSET_GET for the one set asked for. */
static int on_strings(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *tb[ETHTOOL_A_STRSET_MAX + 1], *sets[ETHTOOL_A_STRINGSETS_MAX + 1], *set[ETHTOOL_A_STRINGSET_MAX + 1];
	const struct nlattr *string;

	nl_attrs(h, sizeof(struct genlmsghdr), tb, ETHTOOL_A_STRSET_MAX);
	nl_nested(tb[ETHTOOL_A_STRSET_STRINGSETS], sets, ETHTOOL_A_STRINGSETS_MAX);
	nl_nested(sets[ETHTOOL_A_STRINGSETS_STRINGSET], set, ETHTOOL_A_STRINGSET_MAX);
	if (set[ETHTOOL_A_STRINGSET_STRINGS])
		mnl_attr_for_each_nested(string, set[ETHTOOL_A_STRINGSET_STRINGS]) meaning_read(string, arg);
	return MNL_CB_OK;
}

static bool offloads_of(const struct nlattr *bitset, uint32_t *out)
{
	const struct nlattr *tb[ETHTOOL_A_BITSET_MAX + 1];
	size_t words;

	nl_nested(bitset, tb, ETHTOOL_A_BITSET_MAX);
	if (!tb[ETHTOOL_A_BITSET_VALUE])
		return false;
	words = mnl_attr_get_payload_len(tb[ETHTOOL_A_BITSET_VALUE]) / 4;
	*out = 0;
	for (size_t bit = 0; bit < words * 32 && bit < FEATURES_MAX; bit++) {
		uint32_t word;

		memcpy(&word, (const char *)mnl_attr_get_payload(tb[ETHTOOL_A_BITSET_VALUE]) + bit / 32 * 4, 4);
		if (word >> bit % 32 & 1)
			*out |= meanings[bit];
	}
	return true;
}

static struct link *link_of(struct pull *p, const struct nlattr *header)
{
	const struct nlattr *tb[ETHTOOL_A_HEADER_MAX + 1];
	struct link *end = p->s->links + p->s->link_count;
	uint32_t index;

	nl_nested(header, tb, ETHTOOL_A_HEADER_MAX);
	index = nl_u32(tb[ETHTOOL_A_HEADER_DEV_INDEX]);
	for (size_t i = 0; i < p->s->link_count; i++) {
		struct link *l = p->hint++;

		if (p->hint == end)
			p->hint = p->s->links;
		if (l->index == index)
			return l;
	}
	return NULL;
}

static int on_features(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *tb[ETHTOOL_A_FEATURES_MAX + 1];
	struct link *l;

	nl_attrs(h, sizeof(struct genlmsghdr), tb, ETHTOOL_A_FEATURES_MAX);
	l = link_of(arg, tb[ETHTOOL_A_FEATURES_HEADER]);
	if (l)
		l->offloads_known = offloads_of(tb[ETHTOOL_A_FEATURES_ACTIVE], &l->offloads);
	return MNL_CB_OK;
}

static int on_channels(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *tb[ETHTOOL_A_CHANNELS_MAX + 1];
	struct link *l;
	uint32_t both;

	nl_attrs(h, sizeof(struct genlmsghdr), tb, ETHTOOL_A_CHANNELS_MAX);
	l = link_of(arg, tb[ETHTOOL_A_CHANNELS_HEADER]);
	both = nl_u32(tb[ETHTOOL_A_CHANNELS_COMBINED_COUNT]);
	if (l) {
		l->rx_queues = (uint16_t)(both + nl_u32(tb[ETHTOOL_A_CHANNELS_RX_COUNT]));
		l->tx_queues = (uint16_t)(both + nl_u32(tb[ETHTOOL_A_CHANNELS_TX_COUNT]));
	}
	return MNL_CB_OK;
}

static void half_duplex_add(struct snapshot *s, const char *ifname)
{
	char name[96];

	snprintf(name, sizeof name, "link.%s.duplex", ifname);
	snapshot_add_text(s, name, "half");
}

static int on_modes(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *tb[ETHTOOL_A_LINKMODES_MAX + 1];
	struct link *l;
	uint32_t speed;

	nl_attrs(h, sizeof(struct genlmsghdr), tb, ETHTOOL_A_LINKMODES_MAX);
	l = link_of(arg, tb[ETHTOOL_A_LINKMODES_HEADER]);
	speed = nl_u32(tb[ETHTOOL_A_LINKMODES_SPEED]);
	if (l && speed != (uint32_t)SPEED_UNKNOWN)
		l->speed = speed;
	if (l && tb[ETHTOOL_A_LINKMODES_DUPLEX] && nl_u8(tb[ETHTOOL_A_LINKMODES_DUPLEX]) == DUPLEX_HALF)
		half_duplex_add(((struct pull *)arg)->s, l->name);
	return MNL_CB_OK;
}

void ethtool_read_answer(struct snapshot *s, const struct nlmsghdr *h)
{
	static const struct {
		uint8_t command;
		mnl_cb_t fn;
	} answers[] = {{ETHTOOL_MSG_FEATURES_GET_REPLY, on_features},
	               {ETHTOOL_MSG_CHANNELS_GET_REPLY, on_channels},
	               {ETHTOOL_MSG_LINKMODES_GET_REPLY, on_modes}};
	const struct genlmsghdr *g = mnl_nlmsg_get_payload(h);

	if (g->cmd == ETHTOOL_MSG_STRSET_GET_REPLY)
		meanings_known = on_strings(h, meanings) == MNL_CB_OK;
	for (size_t i = 0; i < COUNT(answers); i++)
		if (g->cmd == answers[i].command)
			answers[i].fn(h, &(struct pull){s, s->links});
}

/* ---- asking ---- */

static struct nlmsghdr *request(struct nl *n, uint16_t family, uint8_t command, uint16_t flags)
{
	struct nlmsghdr *h = nl_request(n, family, flags, sizeof(struct genlmsghdr));
	struct genlmsghdr *g = mnl_nlmsg_get_payload(h);

	g->cmd = command;
	g->version = 1;
	return h;
}

static int on_family(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *tb[CTRL_ATTR_MAX + 1];

	nl_attrs(h, sizeof(struct genlmsghdr), tb, CTRL_ATTR_MAX);
	*(uint16_t *)arg = nl_u16(tb[CTRL_ATTR_FAMILY_ID]);
	return MNL_CB_OK;
}

/* 0: a kernel without it. */
static uint16_t family_find(struct nl *n)
{
	struct nlmsghdr *h = request(n, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0);
	uint16_t id = 0;

	mnl_attr_put_strz(h, CTRL_ATTR_FAMILY_NAME, ETHTOOL_GENL_NAME);
	return nl_talk(n, h, on_family, &id) == 0 ? id : 0;
}

/* Of no link in particular; the header's attribute is the first one in all requests. */
static struct nlmsghdr *ethtool_request(struct nl *n, uint16_t family, uint8_t command, uint16_t flags)
{
	struct nlmsghdr *h = request(n, family, command, flags);
	struct nlattr *header = mnl_attr_nest_start(h, ETHTOOL_A_STRSET_HEADER | NLA_F_NESTED);

	mnl_attr_put_u32(h, ETHTOOL_A_HEADER_FLAGS, ETHTOOL_FLAG_COMPACT_BITSETS);
	mnl_attr_nest_end(h, header);
	return h;
}

static void meanings_ask(struct nl *n, uint16_t family)
{
	struct nlmsghdr *h = ethtool_request(n, family, ETHTOOL_MSG_STRSET_GET, 0);
	struct nlattr *sets = mnl_attr_nest_start(h, ETHTOOL_A_STRSET_STRINGSETS | NLA_F_NESTED);
	struct nlattr *set = mnl_attr_nest_start(h, ETHTOOL_A_STRINGSETS_STRINGSET | NLA_F_NESTED);

	mnl_attr_put_u32(h, ETHTOOL_A_STRINGSET_ID, ETH_SS_FEATURES);
	mnl_attr_nest_end(h, set);
	mnl_attr_nest_end(h, sets);
	meanings_known = nl_talk(n, h, on_strings, meanings) == 0;
}

static void links_ask(struct nl *n, uint16_t family, struct snapshot *s)
{
	static const struct {
		uint8_t command;
		mnl_cb_t fn;
	} dumps[] = {{ETHTOOL_MSG_FEATURES_GET, on_features},
	             {ETHTOOL_MSG_CHANNELS_GET, on_channels},
	             {ETHTOOL_MSG_LINKMODES_GET, on_modes}};

	for (size_t i = 0; i < COUNT(dumps); i++)
		nl_talk(n, ethtool_request(n, family, dumps[i].command, NLM_F_DUMP), dumps[i].fn, &(struct pull){s, s->links});
}

static void netlink_read(struct snapshot *s)
{
	struct nl n;
	uint16_t family;

	if (s->link_count == 0 || nl_open(&n, NETLINK_GENERIC, NULL))
		return;
	family = family_find(&n);
	if (family && !meanings_known)
		meanings_ask(&n, family);
	if (family && meanings_known)
		links_ask(&n, family, s);
	nl_close(&n);
}

/* ---- drivers ---- */

/* The kernel's own release, which newer kernels give for drivers without a version, says nothing of the driver. */
static void driver_read(int fd, struct link *l, const char *release)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq r = {.ifr_data = (void *)&info};

	str_copy(r.ifr_name, sizeof r.ifr_name, l->name);
	if (ioctl(fd, SIOCETHTOOL, &r))
		return;
	info.driver[sizeof info.driver - 1] = info.version[sizeof info.version - 1] = '\0';
	str_copy(l->driver, sizeof l->driver, info.driver);
	if (strncmp(info.version, release, sizeof info.version - 1) != 0)
		str_copy(l->driver_version, sizeof l->driver_version, info.version);
}

int fact_read_devices(struct snapshot *s, struct err *e)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)e; /* a device or kernel that does not tell is nothing to report */
	netlink_read(s);
	for (size_t i = 0; i < s->link_count && fd >= 0; i++)
		driver_read(fd, &s->links[i], s->kernel);
	if (fd >= 0)
		close(fd);
	return 0;
}
