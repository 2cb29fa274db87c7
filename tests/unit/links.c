/* What rtnetlink says of links, VLANs and forwarding entries, as made messages: also of kinds this kernel may not have. */
#include "agent/facts/fw_model.h"
#include "agent/facts/source.h"
#include "proto/base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_gact.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>

#define MESSAGE 8192

static struct nlmsghdr *message(uint16_t type, const void *header, size_t len)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(mem_alloc(MESSAGE));

	h->nlmsg_type = type;
	memcpy(mnl_nlmsg_put_extra_header(h, len), header, len);
	return h;
}

static struct nlmsghdr *link_message(int index, uint8_t family)
{
	struct ifinfomsg i = {.ifi_family = family, .ifi_index = index, .ifi_flags = IFF_UP};

	return message(RTM_NEWLINK, &i, sizeof i);
}

/* The answer's link; frees the message. */
static struct link link_of(struct nlmsghdr *h)
{
	struct link l = {0};

	link_read(&l, h);
	free(h);
	return l;
}

/* A link of this kind, with one attribute of its own data. */
static struct link of_kind(const char *kind, uint16_t type, const void *data, size_t len)
{
	struct nlmsghdr *h = link_message(7, AF_UNSPEC);
	struct nlattr *info, *own;

	mnl_attr_put_strz(h, IFLA_IFNAME, "x0");
	mnl_attr_put_u32(h, IFLA_LINK, 3);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, kind);
	own = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	if (len)
		mnl_attr_put(h, type, len, data);
	mnl_attr_nest_end(h, own);
	mnl_attr_nest_end(h, info);
	return link_of(h);
}

static void a_vlan_has_its_id_and_the_device_below(void **state)
{
	struct link l = of_kind("vlan", IFLA_VLAN_ID, &(uint16_t){42}, 2);

	(void)state;
	assert_string_equal(l.name, "x0");
	assert_string_equal(l.kind, "vlan");
	assert_int_equal(l.vlan, 42);
	assert_int_equal(l.parent, 3);
	assert_false(l.parent_elsewhere);
	assert_true(l.up);
}

static void modes_by_name(void **state)
{
	static const struct {
		const char *kind;
		uint16_t type;
		uint32_t value;
		uint8_t size;
		const char *mode;
	} rows[] = {
	    {"macvlan", IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE, 4, "bridge"},
	    {"macvtap", IFLA_MACVLAN_MODE, MACVLAN_MODE_PRIVATE, 4, "private"},
	    {"macvtap", IFLA_MACVLAN_MODE, MACVLAN_MODE_PASSTHRU, 4, "passthru"},
	    {"macvtap", IFLA_MACVLAN_MODE, MACVLAN_MODE_VEPA, 4, "vepa"},
	    {"macvtap", IFLA_MACVLAN_MODE, 12345, 4, ""},
	    {"ipvlan", IFLA_IPVLAN_MODE, IPVLAN_MODE_L3S, 2, "l3s"},
	    {"bond", IFLA_BOND_MODE, 0, 1, "balance-rr"},
	    {"bond", IFLA_BOND_MODE, 1, 1, "active-backup"},
	    {"bond", IFLA_BOND_MODE, 4, 1, "802.3ad"},
	    {"bond", IFLA_BOND_MODE, 99, 1, ""},
	    {"bond", IFLA_BOND_MODE, 0, 0, ""},
	    {"ipvlan", IFLA_IPVLAN_MODE, 0, 0, ""},
	    {"dummy", IFLA_BOND_MODE, 1, 1, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct link l = of_kind(rows[i].kind, rows[i].type, &rows[i].value, rows[i].size);

		assert_string_equal(l.mode, rows[i].mode);
	}
}

static void a_bond_names_its_active_port(void **state)
{
	(void)state;
	assert_int_equal(of_kind("bond", IFLA_BOND_ACTIVE_SLAVE, &(uint32_t){9}, 4).active, 9);
	assert_int_equal(of_kind("bond", IFLA_BOND_MODE, &(uint8_t){4}, 1).active, 0);
}

static struct link vxlan(int family)
{
	static const uint8_t v4[2][4] = {{10, 0, 0, 1}, {10, 0, 0, 2}};
	static const uint8_t v6[2][16] = {{0xfd, [15] = 1}, {0xfd, [15] = 2}};
	struct nlmsghdr *h = link_message(7, AF_UNSPEC);
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO), *own;

	mnl_attr_put_strz(h, IFLA_INFO_KIND, "vxlan");
	own = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	mnl_attr_put_u32(h, IFLA_VXLAN_ID, 100);
	mnl_attr_put_u32(h, IFLA_VXLAN_LINK, 5);
	mnl_attr_put_u16(h, IFLA_VXLAN_PORT, htons(4789));
	if (family == 4) {
		mnl_attr_put(h, IFLA_VXLAN_LOCAL, 4, v4[0]);
		mnl_attr_put(h, IFLA_VXLAN_GROUP, 4, v4[1]);
	} else {
		mnl_attr_put(h, IFLA_VXLAN_LOCAL6, 16, v6[0]);
		mnl_attr_put(h, IFLA_VXLAN_GROUP6, 16, v6[1]);
	}
	mnl_attr_nest_end(h, own);
	mnl_attr_nest_end(h, info);
	return link_of(h);
}

static void a_vxlan_has_its_ends(void **state)
{
	char text[IP_TEXT_MAX];
	struct link l = vxlan(4);

	(void)state;
	assert_int_equal(l.vni, 100);
	assert_int_equal(l.parent, 5);
	assert_int_equal(l.vx_port, 4789);
	assert_string_equal(ip_format(l.vx_local, text), "10.0.0.1");
	assert_string_equal(ip_format(l.vx_remote, text), "10.0.0.2");
	l = vxlan(6);
	assert_string_equal(ip_format(l.vx_local, text), "fd00::1");
	assert_string_equal(ip_format(l.vx_remote, text), "fd00::2");
}

static void a_peer_may_be_in_another_namespace(void **state)
{
	struct nlmsghdr *h = link_message(7, AF_UNSPEC);
	struct link l;

	(void)state;
	mnl_attr_put_u32(h, IFLA_LINK, 7); /* the same number, there */
	mnl_attr_put_u32(h, IFLA_LINK_NETNSID, 0);
	l = link_of(h);
	assert_int_equal(l.parent, 7);
	assert_true(l.parent_elsewhere);
	h = link_message(7, AF_UNSPEC);
	mnl_attr_put_u32(h, IFLA_LINK, 7); /* on itself */
	assert_int_equal(link_of(h).parent, 0);
}

static void counters_that_are_not_zero(void **state)
{
	struct rtnl_link_stats64 st = {.rx_packets = 5, .rx_missed_errors = 3, .tx_carrier_errors = 2};
	struct snapshot *s = snapshot_new();
	struct nlmsghdr *h = link_message(7, AF_UNSPEC);
	int64_t v;

	(void)state;
	mnl_attr_put(h, IFLA_STATS64, sizeof st, &st);
	for (int i = 0; i < LINK_COUNTERS_MAX; i++)
		link_read_counters(s, "eth0", mnl_nlmsg_get_payload_offset(h, sizeof(struct ifinfomsg)));
	assert_true(snapshot_counter(s, "link.eth0.rx_missed", &v) && v == 3);
	assert_true(snapshot_counter(s, "link.eth0.tx_carrier", &v) && v == 2);
	assert_false(snapshot_counter(s, "link.eth0.rx_fifo", &v));
	assert_int_equal(s->counter_count, LINK_COUNTERS_MAX); /* leaves room for the others */
	link_read_counters(s, "eth0", NULL);
	free(h);
	snapshot_free(s);
}

/* ---- VLANs ---- */

static struct snapshot *filtering(bool on)
{
	struct snapshot *s = snapshot_new();

	s->links = mem_array(2, sizeof *s->links);
	s->link_count = 2;
	s->links[0] = (struct link){.index = 1, .name = "br0", .kind = "bridge", .vlan_filtering = on};
	s->links[1] = (struct link){.index = 2, .name = "p0", .master = 1, .port = true};
	return s;
}

static void vlans_read(struct snapshot *s, int index, const struct bridge_vlan_info *infos, size_t count)
{
	struct nlmsghdr *h = link_message(index, AF_BRIDGE);
	struct nlattr *spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);

	for (size_t i = 0; i < count; i++)
		mnl_attr_put(h, IFLA_BRIDGE_VLAN_INFO, sizeof *infos, &infos[i]);
	mnl_attr_put(h, IFLA_BRIDGE_VLAN_INFO, 1, "x"); /* cut short */
	mnl_attr_nest_end(h, spec);
	link_read_vlans(s, h);
	free(h);
}

static void vlans_of_a_port(void **state)
{
	static const struct bridge_vlan_info infos[] = {{BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED, 1},
	                                                {BRIDGE_VLAN_INFO_RANGE_BEGIN, 10},
	                                                {BRIDGE_VLAN_INFO_RANGE_END, 19},
	                                                {0, 30}};
	struct snapshot *s = filtering(true);

	(void)state;
	vlans_read(s, 2, infos, 4);
	vlans_read(s, 1, infos, 1); /* the bridge's own */
	vlans_read(s, 99, infos, 4);
	assert_int_equal(s->vlan_count, 4);
	assert_true(s->vlans[0].pvid && s->vlans[0].untagged && s->vlans[0].vid == 1 && s->vlans[0].last == 1);
	assert_true(!s->vlans[1].pvid && !s->vlans[1].untagged && s->vlans[1].vid == 10 && s->vlans[1].last == 19);
	assert_true(s->vlans[2].vid == 30 && s->vlans[2].last == 30 && s->vlans[2].link == 2);
	assert_true(s->vlans[3].link == 1 && s->vlans[3].pvid);
	snapshot_free(s);
}

static void a_bridge_that_does_not_filter_has_no_vlans(void **state)
{
	struct snapshot *s = filtering(false);

	(void)state;
	vlans_read(s, 2, &(struct bridge_vlan_info){BRIDGE_VLAN_INFO_PVID, 1}, 1);
	assert_int_equal(s->vlan_count, 0);
	snapshot_free(s);
}

/* ---- forwarding entries ---- */

static const uint8_t mac_a[6] = {2, 0, 0, 0, 0, 1}, no_mac[6];

static void fdb_message(struct snapshot *s, uint32_t master, const uint8_t *mac, const void *dst, size_t dst_len)
{
	struct ndmsg m = {.ndm_family = AF_BRIDGE, .ndm_ifindex = 7, .ndm_state = NUD_PERMANENT, .ndm_flags = NTF_SELF};
	struct nlmsghdr *h = message(RTM_NEWNEIGH, &m, sizeof m);

	mnl_attr_put(h, NDA_LLADDR, 6, mac);
	if (master)
		mnl_attr_put_u32(h, NDA_MASTER, master);
	if (dst_len)
		mnl_attr_put(h, NDA_DST, dst_len, dst);
	fdb_read(s, h);
	free(h);
}

static void entries_of_bridges_and_of_vxlans(void **state)
{
	static const uint8_t v4[4] = {10, 0, 0, 2}, v6[16] = {0xfd, [15] = 2};
	struct snapshot *s = snapshot_new();
	char text[IP_TEXT_MAX];

	(void)state;
	fdb_message(s, 4, mac_a, NULL, 0);
	fdb_message(s, 0, mac_a, v4, 4);
	fdb_message(s, 0, no_mac, v6, 16);
	assert_int_equal(s->fdb_count, 3);
	assert_true(s->fdbs[0].bridge == 4 && s->fdbs[0].port == 7 && s->fdbs[0].local && !s->fdbs[0].remote.family);
	assert_true(s->fdbs[1].bridge == 7 && s->fdbs[1].port == 7 && !s->fdbs[1].local && s->fdbs[1].is_static);
	assert_string_equal(ip_format(s->fdbs[1].remote, text), "10.0.0.2");
	assert_string_equal(ip_format(s->fdbs[2].remote, text), "fd00::2");
	assert_false(mac_is_set(s->fdbs[2].mac));
	snapshot_free(s);
}

static void a_devices_own_filter_list_is_no_forwarding_entry(void **state)
{
	static const uint8_t group[6] = {1, 0, 0x5e, 0, 0, 1};
	struct snapshot *s = snapshot_new();

	(void)state;
	fdb_message(s, 0, mac_a, NULL, 0);
	fdb_message(s, 4, group, NULL, 0);
	fdb_message(s, 4, no_mac, NULL, 0);
	assert_int_equal(s->fdb_count, 0);
	snapshot_free(s);
}

/* ---- ethtool ---- */

static struct nlmsghdr *ethtool_message(uint8_t command, uint32_t index)
{
	struct genlmsghdr g = {.cmd = command, .version = 1};
	struct nlmsghdr *h = message(GENL_ID_CTRL + 1, &g, sizeof g);
	struct nlattr *header = mnl_attr_nest_start(h, ETHTOOL_A_FEATURES_HEADER);

	mnl_attr_put_u32(h, ETHTOOL_A_HEADER_DEV_INDEX, index);
	mnl_attr_nest_end(h, header);
	return h;
}

static void ethtool_take(struct snapshot *s, struct nlmsghdr *h)
{
	ethtool_read_answer(s, h);
	free(h);
}

/* The running kernel decides which bit is which: here, 0, 3 and 40; the last one is beyond what we keep. */
static void feature_names(struct snapshot *s)
{
	static const struct {
		uint32_t index;
		const char *name;
	} rows[] = {{0, "tx-tcp-segmentation"}, {3, "rx-gro"}, {40, "rx-checksum"}, {5, "tx-nocache-copy"}, {100000, "rx-lro"}};
	struct nlmsghdr *h = ethtool_message(ETHTOOL_MSG_STRSET_GET_REPLY, 0);
	struct nlattr *sets = mnl_attr_nest_start(h, ETHTOOL_A_STRSET_STRINGSETS);
	struct nlattr *set = mnl_attr_nest_start(h, ETHTOOL_A_STRINGSETS_STRINGSET);
	struct nlattr *strings = mnl_attr_nest_start(h, ETHTOOL_A_STRINGSET_STRINGS), *string;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		string = mnl_attr_nest_start(h, ETHTOOL_A_STRINGS_STRING);
		mnl_attr_put_u32(h, ETHTOOL_A_STRING_INDEX, rows[i].index);
		mnl_attr_put_strz(h, ETHTOOL_A_STRING_VALUE, rows[i].name);
		mnl_attr_nest_end(h, string);
	}
	mnl_attr_nest_end(h, strings);
	mnl_attr_nest_end(h, set);
	mnl_attr_nest_end(h, sets);
	ethtool_take(s, h);
}

static void features_of(struct snapshot *s, uint32_t index, const uint32_t *words, size_t count)
{
	struct nlmsghdr *h = ethtool_message(ETHTOOL_MSG_FEATURES_GET_REPLY, index);
	struct nlattr *active = mnl_attr_nest_start(h, ETHTOOL_A_FEATURES_ACTIVE);

	mnl_attr_put_u32(h, ETHTOOL_A_BITSET_SIZE, (uint32_t)count * 32);
	if (count)
		mnl_attr_put(h, ETHTOOL_A_BITSET_VALUE, count * 4, words);
	mnl_attr_nest_end(h, active);
	ethtool_take(s, h);
}

static void offloads_by_the_kernels_own_bits(void **state)
{
	struct snapshot *s = filtering(false);

	(void)state;
	feature_names(s);
	features_of(s, 2, (const uint32_t[]){1u << 3 | 1u << 5, 1u << 8}, 2);
	features_of(s, 99, (const uint32_t[]){1}, 1); /* a link that came meanwhile */
	assert_true(s->links[1].offloads_known);
	assert_int_equal(s->links[1].offloads, OFFLOAD_GRO | OFFLOAD_RX_CSUM);
	assert_false(s->links[0].offloads_known);
	features_of(s, 1, NULL, 0);
	assert_false(s->links[0].offloads_known);
	snapshot_free(s);
}

static void queues_and_speed(void **state)
{
	struct snapshot *s = filtering(false);
	struct nlmsghdr *h = ethtool_message(ETHTOOL_MSG_CHANNELS_GET_REPLY, 2);

	(void)state;
	mnl_attr_put_u32(h, ETHTOOL_A_CHANNELS_COMBINED_COUNT, 4);
	mnl_attr_put_u32(h, ETHTOOL_A_CHANNELS_RX_COUNT, 1);
	ethtool_take(s, h);
	h = ethtool_message(ETHTOOL_MSG_LINKMODES_GET_REPLY, 2);
	mnl_attr_put_u32(h, ETHTOOL_A_LINKMODES_SPEED, 10000);
	ethtool_take(s, h);
	h = ethtool_message(ETHTOOL_MSG_LINKMODES_GET_REPLY, 1);
	mnl_attr_put_u32(h, ETHTOOL_A_LINKMODES_SPEED, (uint32_t)SPEED_UNKNOWN);
	ethtool_take(s, h);
	assert_int_equal(s->links[1].rx_queues, 5);
	assert_int_equal(s->links[1].tx_queues, 4);
	assert_int_equal(s->links[1].speed, 10000);
	assert_int_equal(s->links[0].speed, 0);
	snapshot_free(s);
}

/* ---- our own tables ---- */

static bool nft_news(int type, const char *table)
{
	struct nfgenmsg g = {.nfgen_family = AF_INET};
	struct nlmsghdr *h = message((uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), &g, sizeof g);
	bool news;

	if (table)
		mnl_attr_put_strz(h, NFTA_TABLE_NAME, table);
	news = watch_nft_is_news(h);
	free(h);
	return news;
}

static void our_own_tables_are_no_news(void **state)
{
	static const int types[] = {NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE, NFT_MSG_NEWCHAIN,   NFT_MSG_NEWRULE,
	                            NFT_MSG_DELRULE,  NFT_MSG_NEWSET,   NFT_MSG_NEWSETELEM, NFT_MSG_DELCHAIN};

	(void)state;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		assert_false(nft_news(types[i], "bothways"));
		assert_false(nft_news(types[i], "bothways_trace_1"));
		assert_true(nft_news(types[i], "filter"));
		assert_true(nft_news(types[i], "bothway"));
		assert_true(nft_news(types[i], NULL));
	}
	assert_false(nft_news(NFT_MSG_NEWGEN, NULL)); /* says that something was changed, not what */
}

static void our_own_tables_are_not_in_the_ruleset(void **state)
{
	static const char json[] =
	    "{\"nftables\":[{\"table\":{\"family\":\"inet\",\"name\":\"bothways_trace\"}},"
	    "{\"chain\":{\"family\":\"inet\",\"table\":\"bothways_trace\",\"name\":\"c\",\"handle\":1,\"type\":\"filter\","
	    "\"hook\":\"prerouting\",\"prio\":-350,\"policy\":\"accept\"}},"
	    "{\"rule\":{\"family\":\"inet\",\"table\":\"bothways_trace\",\"chain\":\"c\",\"handle\":2,\"expr\":[{\"drop\":null}]}},"
	    "{\"chain\":{\"family\":\"ip\",\"table\":\"filter\",\"name\":\"INPUT\",\"handle\":1,\"type\":\"filter\",\"hook\":"
	    "\"input\","
	    "\"prio\":0,\"policy\":\"accept\"}}]}";
	struct fw_model m = {0};
	struct err e;

	(void)state;
	assert_int_equal(fw_model_read(&m, json, NULL, NULL, &e), 0);
	assert_int_equal(m.chain_count, 1);
	assert_int_equal(m.rule_count, 0);
	assert_string_equal(m.chains[0].table, "filter");
	fw_model_free(&m);
}

static struct nlmsghdr *message_put(char *at, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(at);

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_MULTI | flags;
	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	return h;
}

static int on_counted(const struct nlmsghdr *h, void *arg)
{
	(void)h;
	(*(int *)arg)++;
	return MNL_CB_OK;
}

static void a_dump_that_was_disturbed_still_ends(void **state)
{
	char buf[256];
	struct nlmsghdr *first = message_put(buf, RTM_NEWLINK, NLM_F_DUMP_INTR);
	struct nlmsghdr *last = message_put(buf + first->nlmsg_len, NLMSG_DONE, NLM_F_DUMP_INTR);
	size_t len = first->nlmsg_len + last->nlmsg_len;
	int seen = 0;

	(void)state;
	assert_true(nl_unflag(buf, len));
	assert_int_equal(mnl_cb_run(buf, len, 0, 0, on_counted, &seen), MNL_CB_STOP);
	assert_int_equal(seen, 1);
	assert_false(nl_unflag(buf, len));
}

static void a_request_without_an_answer_has_an_end(void **state)
{
	struct nl n;
	int seen = 0;

	(void)state;
	assert_int_equal(nl_open(&n, NETLINK_ROUTE, NULL), 0);
	assert_int_equal(nl_talk(&n, nl_request(&n, NLMSG_NOOP, 0, 0), on_counted, &seen), -1);
	assert_int_equal(errno, ETIMEDOUT);
	assert_int_equal(nl_talk(&n, nl_request(&n, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg)), on_counted, &seen), 0);
	assert_true(seen > 0);
	nl_close(&n);
}

/* ---- what limits or takes away packets ---- */

static struct snapshot *with_device(void)
{
	struct snapshot *s = snapshot_new();
	struct link *l = snapshot_grow(s, (void **)&s->links, &s->link_count, 4, sizeof *s->links);

	l->index = 7;
	strcpy(l->name, "x0");
	return s;
}

static struct nlmsghdr *tc_message(uint16_t type, uint32_t parent, const char *kind)
{
	struct tcmsg t = {.tcm_family = AF_UNSPEC, .tcm_ifindex = 7, .tcm_parent = parent};
	struct nlmsghdr *h = message(type, &t, sizeof t);

	mnl_attr_put_strz(h, TCA_KIND, kind);
	return h;
}

static void a_discipline_with_a_rate_is_a_limit(void **state)
{
	static const struct {
		const char *kind, *limit;
		uint32_t parent;
		size_t len; /* of its parameters */
	} rows[] = {{"tbf", "tbf 6000 kbit/s", TC_H_ROOT, sizeof(struct tc_tbf_qopt)},
	            {"tbf", "tbf", TC_H_ROOT, 5},
	            {"htb", "htb", TC_H_ROOT, 0},
	            {"fq_codel", NULL, TC_H_ROOT, 0},
	            {"tbf", NULL, 0x10001, sizeof(struct tc_tbf_qopt)}};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct tc_tbf_qopt q = {.rate.rate = 750000};
		struct snapshot *s = with_device();
		struct nlmsghdr *h = tc_message(RTM_NEWQDISC, rows[i].parent, rows[i].kind);
		struct nlattr *options = mnl_attr_nest_start(h, TCA_OPTIONS);
		const char *limit;

		if (rows[i].len)
			mnl_attr_put(h, TCA_TBF_PARMS, rows[i].len, &q);
		mnl_attr_nest_end(h, options);
		queue_read(s, h);
		limit = snapshot_text(s, "link.x0.limit");
		assert_int_equal(limit != NULL, rows[i].limit != NULL);
		if (limit)
			assert_string_equal(limit, rows[i].limit);
		free(h);
		snapshot_free(s);
	}
}

/* A filter of u32 with one action of that kind. */
static struct nlmsghdr *filter_message(uint32_t hook, const char *kind, uint16_t type, const void *parms, size_t len)
{
	struct nlmsghdr *h = tc_message(RTM_NEWTFILTER, TC_H_MAKE(TC_H_CLSACT, hook), "u32");
	struct nlattr *options = mnl_attr_nest_start(h, TCA_OPTIONS), *actions = mnl_attr_nest_start(h, TCA_U32_ACT),
	              *one = mnl_attr_nest_start(h, 1), *own;

	mnl_attr_put_strz(h, TCA_ACT_KIND, kind);
	own = mnl_attr_nest_start(h, TCA_ACT_OPTIONS);
	mnl_attr_put(h, type, len, parms);
	mnl_attr_nest_end(h, own);
	mnl_attr_nest_end(h, one);
	mnl_attr_nest_end(h, actions);
	mnl_attr_nest_end(h, options);
	return h;
}

static void a_filter_that_takes_packets_away(void **state)
{
	static const struct tc_mirred away = {.eaction = TCA_EGRESS_REDIR}, copy = {.eaction = TCA_EGRESS_MIRROR};
	static const struct tc_gact shot = {.action = TC_ACT_SHOT}, pass = {.action = TC_ACT_OK};
	static const struct {
		const char *kind, *says;
		uint16_t type;
		uint32_t hook;
		const void *parms;
		size_t len;
	} rows[] = {{"mirred", "redirects", TCA_MIRRED_PARMS, TC_H_MIN_EGRESS, &away, sizeof away},
	            {"mirred", NULL, TCA_MIRRED_PARMS, TC_H_MIN_EGRESS, &copy, sizeof copy},
	            {"mirred", NULL, TCA_MIRRED_PARMS, TC_H_MIN_EGRESS, &away, 4},
	            {"gact", "drops", TCA_GACT_PARMS, TC_H_MIN_INGRESS, &shot, sizeof shot},
	            {"gact", NULL, TCA_GACT_PARMS, TC_H_MIN_INGRESS, &pass, sizeof pass}};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct snapshot *s = with_device();
		struct nlmsghdr *h = filter_message(rows[i].hook, rows[i].kind, rows[i].type, rows[i].parms, rows[i].len);
		bool egress = rows[i].hook == TC_H_MIN_EGRESS;
		const char *says;

		filter_read(s, h);
		says = snapshot_text(s, egress ? "link.x0.tc_egress" : "link.x0.tc_ingress");
		assert_int_equal(says != NULL, rows[i].says != NULL);
		if (says)
			assert_string_equal(says, rows[i].says);
		assert_null(snapshot_text(s, egress ? "link.x0.tc_ingress" : "link.x0.tc_egress"));
		free(h);
		snapshot_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_discipline_with_a_rate_is_a_limit),
	    cmocka_unit_test(a_filter_that_takes_packets_away),
	    cmocka_unit_test(a_vlan_has_its_id_and_the_device_below),
	    cmocka_unit_test(modes_by_name),
	    cmocka_unit_test(a_bond_names_its_active_port),
	    cmocka_unit_test(a_vxlan_has_its_ends),
	    cmocka_unit_test(a_peer_may_be_in_another_namespace),
	    cmocka_unit_test(counters_that_are_not_zero),
	    cmocka_unit_test(vlans_of_a_port),
	    cmocka_unit_test(a_bridge_that_does_not_filter_has_no_vlans),
	    cmocka_unit_test(entries_of_bridges_and_of_vxlans),
	    cmocka_unit_test(a_devices_own_filter_list_is_no_forwarding_entry),
	    cmocka_unit_test(offloads_by_the_kernels_own_bits),
	    cmocka_unit_test(queues_and_speed),
	    cmocka_unit_test(our_own_tables_are_no_news),
	    cmocka_unit_test(our_own_tables_are_not_in_the_ruleset),
	    cmocka_unit_test(a_dump_that_was_disturbed_still_ends),
	    cmocka_unit_test(a_request_without_an_answer_has_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
