/* walk: where packets go, in one small world per topology. A world is text: what each machine says of itself. */
#include "collector/walk.h"
#include "tests/unit/fleet_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define WORDS_MAX    8
#define MACHINES_MAX 8

/* ---- worlds ----
 *
 *   link NAME KIND MAC MASTER PARENT   "-" = none; MAC: the last two octets; KIND "-": a physical NIC
 *   addr DEV PREFIX                    with its connected route
 *   route DST GATEWAY DEV              DST "0" = default; GATEWAY "-" = on link
 *   neigh DEV IP MAC
 *   fdb PORT MAC REMOTE                learned; REMOTE "-", or of a VXLAN device
 *   vx DEV VNI LOCAL REMOTE
 *   refuse DST                         an unreachable route
 *   mode DEV MODE, active DEV PORT, forward */
struct machine {
	const char *name, *says; /* name: hosts "h...", guests else */
};

struct walk_case {
	const char *name;
	struct machine machines[MACHINES_MAX];
	const char *a, *a_if, *b, *b_if;
	bool onlink;
	const char *there, *back; /* points in order; back NULL = the same, turned over */
	bool complete, complete_back;
};

static struct mac mac_short(const char *word)
{
	unsigned v = (unsigned)strtoul(word, NULL, 16);
	return (struct mac){{2, 0, 0, 0, (uint8_t)(v >> 8), (uint8_t)v}};
}

static struct ip ip_of(const char *word)
{
	struct ip ip = {0};
	if (strcmp(word, "-") != 0 && ip_parse(word, &ip) < 0)
		abort();
	return ip;
}

static const char *given(const char *word) { return strcmp(word, "-") == 0 ? "" : word; }

static void say_link(struct snapshot *s, char **w)
{
	char mac[MAC_TEXT_MAX];
	struct link *l = world_link(s, w[1], given(w[2]), mac_format(mac_short(w[3]), mac), given(w[4]));
	const struct link *below = given(w[5])[0] ? link_named(s, w[5]) : NULL;
	l->parent = below ? below->index : 0;
	l->parent_elsewhere = !below && strcmp(l->kind, "veth") == 0;
	if (below && strcmp(l->kind, "veth") == 0) /* the pair knows each other */
		link_named(s, w[5])->parent = l->index, link_named(s, w[5])->parent_elsewhere = false;
	if (below && strcmp(l->kind, "ovs-patch") == 0)
		link_named(s, w[5])->parent = l->index;
}

static void add_route(struct snapshot *s, struct prefix dst, struct ip gateway, const char *dev)
{
	*ADD(s->routes, s->route_count) =
	    (struct route){.type = ROUTE_UNICAST, .table = 254, .dst = dst, .gateway = gateway, .link = link_named(s, dev)->index};
}

static void say_addr(struct snapshot *s, char **w)
{
	world_addr(s, w[1], w[2]);
	add_route(s, prefix_network(prefix_of(w[2])), (struct ip){0}, w[1]);
}

static void say_route(struct snapshot *s, char **w)
{
	add_route(s, prefix_of(strcmp(w[1], "0") == 0 ? "0.0.0.0/0" : w[1]), ip_of(w[2]), w[3]);
}

static void say_refuse(struct snapshot *s, char **w)
{
	*ADD(s->routes, s->route_count) = (struct route){.type = ROUTE_UNREACHABLE, .table = 254, .dst = prefix_of(w[1])};
}

static void say_neigh(struct snapshot *s, char **w)
{
	*ADD(s->neighs, s->neigh_count) =
	    (struct neigh){.link = link_named(s, w[1])->index, .ip = ip_of(w[2]), .mac = mac_short(w[3]), .state = NEIGH_REACHABLE};
}

static void say_fdb(struct snapshot *s, char **w)
{
	const struct link *l = link_named(s, w[1]);
	struct ip remote = ip_of(w[3]);
	*ADD(s->fdbs, s->fdb_count) = (struct fdb){
	    .bridge = remote.family ? l->index : l->master, .port = l->index, .mac = mac_short(w[2]), .remote = remote};
}

static void say_vx(struct snapshot *s, char **w)
{
	struct link *l = link_named(s, w[1]);
	l->vni = (uint32_t)atoi(w[2]);
	l->vx_local = ip_of(w[3]);
	l->vx_remote = ip_of(w[4]);
}

static void say_mode(struct snapshot *s, char **w)
{
	struct link *l = link_named(s, w[1]);
	str_copy(l->mode, sizeof l->mode, w[2]);
}

static void say_active(struct snapshot *s, char **w) { link_named(s, w[1])->active = link_named(s, w[2])->index; }

static void say_forward(struct snapshot *s, char **w)
{
	(void)w;
	struct value *v = ADD(s->sysctls, s->sysctl_count);
	v->value = 1;
	str_copy(v->name, sizeof v->name, "net.ipv4.ip_forward");
}

static const struct {
	const char *word;
	size_t words;
	void (*say)(struct snapshot *s, char **w);
} verbs[] = {{"link", 6, say_link},       {"addr", 3, say_addr},    {"route", 4, say_route}, {"neigh", 4, say_neigh},
             {"fdb", 4, say_fdb},         {"vx", 5, say_vx},        {"mode", 3, say_mode},   {"active", 3, say_active},
             {"forward", 1, say_forward}, {"refuse", 2, say_refuse}};

static void say(struct snapshot *s, char *line)
{
	char *w[WORDS_MAX] = {0}, *rest = NULL;
	size_t n = 0;
	for (char *t = strtok_r(line, " ", &rest); t && n < WORDS_MAX; t = strtok_r(NULL, " ", &rest))
		w[n++] = t;
	for (size_t i = 0; n && i < sizeof verbs / sizeof *verbs; i++) {
		if (strcmp(verbs[i].word, w[0]) == 0) {
			assert_int_equal(n, verbs[i].words);
			verbs[i].say(s, w);
			return;
		}
	}
	assert_int_equal(n, 0);
}

static struct snapshot *snapshot_of(const char *text)
{
	struct snapshot *s = world_lo();
	char *copy = mem_strdup(text), *rest = NULL;
	for (char *line = strtok_r(copy, ";", &rest); line; line = strtok_r(NULL, ";", &rest))
		say(s, line);
	free(copy);
	return s;
}

static struct world build(const struct walk_case *c)
{
	struct world w = {.f = fleet_new(), .now = {1000000000000}};
	struct member *m[MACHINES_MAX];
	size_t n = 0;
	for (; n < MACHINES_MAX && c->machines[n].name; n++)
		m[n] = world_member(&w, c->machines[n].name, "t", c->machines[n].name[0] == 'h' ? AGENT_HOST : AGENT_GUEST, "");
	for (size_t pass = 0; pass < 2; pass++) /* who lives where is known when everybody has spoken */
		for (size_t i = 0; i < n; i++)
			world_says(&w, m[i], snapshot_of(c->machines[i].says));
	return w;
}

static struct endpoint endpoint_of(const struct member *m, const char *ifname)
{
	const struct link *l = snapshot_link_named(m->snapshot, ifname);
	struct endpoint ep = {.mac = l->mac, .mtu = 1500};
	str_copy(ep.ifname, sizeof ep.ifname, ifname);
	for (size_t i = 0; i < m->snapshot->addr_count; i++) {
		if (m->snapshot->addrs[i].link == l->index)
			ep.ip4 = m->snapshot->addrs[i].prefix;
	}
	return ep;
}

static char *walk_text(const struct walk *w, bool turned)
{
	struct buf b = {0};
	buf_puts(&b, "");
	for (size_t i = 0; i < w->count; i++) {
		const struct walk_point *p = &w->at[turned ? w->count - 1 - i : i];
		buf_printf(&b, "%s%s:%s", i ? " " : "", p->member->name, p->ifname);
	}
	return b.data;
}

static void check(const struct walk_case *c)
{
	struct world w = build(c);
	struct walk way[2];
	struct walk_end end[2] = {{.member = fleet_find(w.f, c->a, NULL, NULL)}, {.member = fleet_find(w.f, c->b, NULL, NULL)}};
	struct endpoint ep[2] = {endpoint_of(end[0].member, c->a_if), endpoint_of(end[1].member, c->b_if)};
	end[0].ep = &ep[0];
	end[1].ep = &ep[1];
	walk_both(w.f, end, c->onlink, way);
	char *there = walk_text(&way[0], false), *back = walk_text(&way[1], c->back == NULL);
	if (strcmp(there, c->there) || strcmp(back, c->back ? c->back : c->there) || way[0].complete != c->complete ||
	    way[1].complete != c->complete_back)
		print_error("%s:\n  there %s %d\n  back  %s %d\n", c->name, there, way[0].complete, back, way[1].complete);
	assert_string_equal(there, c->there);
	assert_string_equal(back, c->back ? c->back : c->there);
	assert_int_equal(way[0].complete, c->complete);
	assert_int_equal(way[1].complete, c->complete_back);
	free(there);
	free(back);
	fleet_free(w.f);
}

#define GUEST(mac, ip, gw) "link eth0 - " mac " - -; addr eth0 " ip "; route 0 " gw " eth0"
#define LONELY(mac, ip)    "link eth0 - " mac " - -; addr eth0 " ip

static const struct walk_case cases[] = {
    {"two guests on one bridge",
     {{"h1", "link br0 bridge 0100 - -; link eno1 - 0101 br0 -; link va tun 0102 br0 -; link vb tun 0103 br0 -; fdb va 0a01 -; fdb "
             "vb 0b01 -"},
      {"a", LONELY("0a01", "10.0.0.11/24")},
      {"b", LONELY("0b01", "10.0.0.12/24")}},
     "a",
     "eth0",
     "b",
     "eth0",
     true,
     "a:eth0 h1:va h1:vb b:eth0",
     NULL,
     true,
     true},

    {"two guests on two hosts",
     {{"h1", "link br0 bridge 0100 - -; link eno1 - 0101 br0 -; link va tun 0102 br0 -; fdb va 0a01 -; fdb eno1 0b01 -"},
      {"h2", "link br0 bridge 0200 - -; link eno1 - 0201 br0 -; link vb tun 0203 br0 -; fdb vb 0b01 -; fdb eno1 0a01 -"},
      {"a", LONELY("0a01", "10.0.0.11/24")},
      {"b", LONELY("0b01", "10.0.0.12/24")}},
     "a",
     "eth0",
     "b",
     "eth0",
     true,
     "a:eth0 h1:va h1:eno1 h2:eno1 h2:vb b:eth0",
     NULL,
     true,
     true},

    {"a host and its own guest",
     {{"h1", "link br0 bridge 0100 - -; addr br0 10.0.0.1/24; link eno1 - 0101 br0 -; link va tun 0102 br0 -; fdb va 0a01 -"},
      {"a", LONELY("0a01", "10.0.0.11/24")}},
     "h1",
     "br0",
     "a",
     "eth0",
     true,
     "h1:br0 h1:va a:eth0",
     NULL,
     true,
     true},

    {"two firewall bridges on one host", /* Proxmox */
     {{"h1",
       "link vmbr0 bridge 0100 - -; link eno1 - 0101 vmbr0 -;"
       "link fwbra bridge 0110 - -; link tapa veth 0111 fwbra -; link fwpra veth 0112 vmbr0 -; link fwlna veth 0113 fwbra fwpra;"
       "link fwbrb bridge 0120 - -; link tapb veth 0121 fwbrb -; link fwprb veth 0122 vmbr0 -; link fwlnb veth 0123 fwbrb fwprb;"
       "fdb tapa 0a01 -; fdb fwpra 0a01 -; fdb tapb 0b01 -; fdb fwprb 0b01 -; fdb fwlna 0b01 -; fdb fwlnb 0a01 -"},
      {"a", LONELY("0a01", "10.0.0.11/24")},
      {"b", LONELY("0b01", "10.0.0.12/24")}},
     "a",
     "eth0",
     "b",
     "eth0",
     true,
     "a:eth0 h1:tapa h1:fwlna h1:fwpra h1:fwprb h1:fwlnb h1:tapb b:eth0",
     NULL,
     true,
     true},

    {"a firewall bridge whose tables were flushed, and a plain port",
     {{"h1",
       "link vmbr0 bridge 0100 - -; link eno1 - 0101 vmbr0 -; link tapb tun 0121 vmbr0 -;"
       "link fwbra bridge 0110 - -; link tapa tun 0111 fwbra -; link fwpra veth 0112 vmbr0 -; link fwlna veth 0113 fwbra fwpra;"
       "fdb tapa 0a01 -; fdb tapb 0b01 -"},
      {"a", LONELY("0a01", "10.0.0.11/24")},
      {"b", LONELY("0b01", "10.0.0.12/24")}},
     "a",
     "eth0",
     "b",
     "eth0",
     true,
     "a:eth0 h1:tapa h1:fwlna h1:fwpra h1:tapb b:eth0",
     NULL,
     true,
     true},

    {"patch ports of Open vSwitch", /* OpenStack: br-int and br-ex */
     {{"h1",
       "link br-int ovs-bridge 0100 - -; link br-ex ovs-bridge 0110 - -; link eno1 - 0111 br-ex -; link tapa tun 0102 br-int -;"
       "link px ovs-patch 0000 br-ex -; link pi ovs-patch 0000 br-int px; fdb tapa 0a01 -; fdb pi 0b01 -; fdb eno1 0b01 -"},
      {"h2",
       "link br-ex ovs-bridge 0210 - -; link eno1 - 0211 br-ex -; link tapb tun 0202 br-ex -; fdb tapb 0b01 -; fdb eno1 0a01 -"},
      {"a", LONELY("0a01", "10.0.0.11/24")},
      {"b", LONELY("0b01", "10.0.0.12/24")}},
     "a",
     "eth0",
     "b",
     "eth0",
     true,
     "a:eth0 h1:tapa h1:pi h1:px h1:eno1 h2:eno1 h2:tapb b:eth0",
     NULL,
     true,
     true},

    {"a VLAN over a bond",
     {{"h1", "link bond0 bond 0110 - -; link eno1 - 0110 bond0 -; link eno2 - 0110 bond0 -; active bond0 eno2;"
             "link bond0.7 vlan 0110 - bond0; link br7 bridge 0100 - -; link va tun 0102 br7 -; fdb va 0a01 -"},
      {"h2", "link br7 bridge 0200 - -; link eno1 - 0201 br7 -; link vb tun 0203 br7 -; fdb vb 0b01 -"},
      {"a", LONELY("0a01", "10.0.0.11/24")},
      {"b", LONELY("0b01", "10.0.0.12/24")}},
     "a",
     "eth0",
     "b",
     "eth0",
     true,
     "a:eth0 h1:va h2:eno1 h2:vb b:eth0",
     NULL,
     false,
     false},

    {"a VLAN over a bond, in the bridge",
     {{"h1",
       "link bond0 bond 0110 - -; link eno1 - 0110 bond0 -; link eno2 - 0110 bond0 -; active bond0 eno2; link br7 bridge 0100 - -;"
       "link bond0.7 vlan 0110 br7 bond0; link va tun 0102 br7 -; fdb va 0a01 -"},
      {"h2", "link br7 bridge 0200 - -; link eno1 - 0201 br7 -; link vb tun 0203 br7 -; fdb vb 0b01 -"},
      {"a", LONELY("0a01", "10.0.0.11/24")},
      {"b", LONELY("0b01", "10.0.0.12/24")}},
     "a",
     "eth0",
     "b",
     "eth0",
     true,
     "a:eth0 h1:va h1:bond0.7 h1:bond0 h1:eno2 h2:eno1 h2:vb b:eth0",
     NULL,
     true,
     true},

    {"a bond that uses all its ports",
     {{"h1", "link bond0 bond 0110 - -; link eno1 - 0110 bond0 -; link eno2 - 0110 bond0 -; addr bond0 10.0.0.1/24"},
      {"h2", "link eno1 - 0201 - -; addr eno1 10.0.0.2/24"}},
     "h1",
     "bond0",
     "h2",
     "eno1",
     true,
     "h1:bond0 h2:eno1",
     NULL,
     false,
     false},

    {"a VXLAN overlay",
     {{"h1",
       "link eno1 - 0101 - -; addr eno1 192.0.2.1/24; link br5 bridge 0100 - -; link vx5 vxlan 0105 br5 -; vx vx5 5 192.0.2.1 -;"
       "link va tun 0102 br5 -; fdb va 0a01 -; fdb vx5 0b01 -; fdb vx5 0b01 192.0.2.2"},
      {"h2",
       "link ul bridge 0200 - -; addr ul 192.0.2.2/24; link eno1 - 0201 ul -; link br5 bridge 0210 - -; link vx5 vxlan 0205 br5 -;"
       "vx vx5 5 192.0.2.2 -; link vb tun 0203 br5 -; fdb vb 0b01 -; fdb vx5 0a01 -; fdb vx5 0a01 192.0.2.1"},
      {"a", LONELY("0a01", "10.0.0.11/24")},
      {"b", LONELY("0b01", "10.0.0.12/24")}},
     "a",
     "eth0",
     "b",
     "eth0",
     true,
     "a:eth0 h1:va h1:vx5 h1:eno1 h2:eno1 h2:ul h2:vx5 h2:vb b:eth0",
     NULL,
     true,
     true},

    {"a VXLAN overlay whose remote is told by the other host only",
     {{"h1",
       "link eno1 - 0101 - -; addr eno1 192.0.2.1/24; link br5 bridge 0100 - -; link vx5 vxlan 0105 br5 -; vx vx5 5 192.0.2.1 -;"
       "link va tun 0102 br5 -; fdb va 0a01 -"},
      {"h2", "link eno1 - 0201 - -; addr eno1 192.0.2.2/24; link br5 bridge 0210 - -; link vx5 vxlan 0205 br5 -;"
             "vx vx5 5 192.0.2.2 -; link vb tun 0203 br5 -; fdb vb 0b01 -"},
      {"a", LONELY("0a01", "10.0.0.11/24")},
      {"b", LONELY("0b01", "10.0.0.12/24")}},
     "a",
     "eth0",
     "b",
     "eth0",
     true,
     "a:eth0 h1:va h1:vx5 h1:eno1 h2:eno1 h2:vx5 h2:vb b:eth0",
     NULL,
     true,
     true},

    {"routed by the guests' own host",
     {{"h1", "link br0 bridge 0100 - -; addr br0 10.0.0.1/24; link br1 bridge 0110 - -; addr br1 10.0.1.1/24; forward;"
             "link eno1 - 0101 br0 -; link va tun 0102 br0 -; link vb tun 0103 br1 -; fdb va 0a01 -; fdb vb 0b01 -"},
      {"a", GUEST("0a01", "10.0.0.11/24", "10.0.0.1")},
      {"b", GUEST("0b01", "10.0.1.12/24", "10.0.1.1")}},
     "a",
     "eth0",
     "b",
     "eth0",
     false,
     "a:eth0 h1:va h1:br0 h1:br1 h1:vb b:eth0",
     NULL,
     true,
     true},

    {"one of them has no way back any more",
     {{"h1", "link br0 bridge 0100 - -; addr br0 10.0.0.1/24; link br1 bridge 0110 - -; addr br1 10.0.1.1/24; forward;"
             "link eno1 - 0101 br1 -; link va tun 0102 br0 -; link vb tun 0103 br1 -; fdb va 0a01 -; fdb vb 0b01 -"},
      {"a", GUEST("0a01", "10.0.0.11/24", "10.0.0.1")},
      {"b", LONELY("0b01", "10.0.1.12/24")}},
     "a",
     "eth0",
     "b",
     "eth0",
     false,
     "a:eth0 h1:va h1:br0 h1:br1 h1:vb b:eth0",
     NULL,
     true,
     false},

    {"no bridge at all: a proxy answers for the next hop",
     {{"h1", "link eno1 - 0101 - -; addr eno1 192.0.2.1/24; link cali1 veth eeee - -; route 10.5.1.1/32 - cali1; route 10.5.2.0/24 "
             "192.0.2.2 eno1; forward;"
             "neigh cali1 10.5.1.1 0a01"},
      {"h2", "link eno1 - 0201 - -; addr eno1 192.0.2.2/24; link cali2 veth eeee - -; route 10.5.2.1/32 - cali2; route 10.5.1.0/24 "
             "192.0.2.1 eno1; forward;"
             "neigh cali2 10.5.2.1 0b01"},
      {"a", "link eth0 - 0a01 - -; addr eth0 10.5.1.1/32; route 169.254.1.1/32 - eth0; route 0 169.254.1.1 eth0"},
      {"b", "link eth0 - 0b01 - -; addr eth0 10.5.2.1/32; route 169.254.1.1/32 - eth0; route 0 169.254.1.1 eth0"}},
     "a",
     "eth0",
     "b",
     "eth0",
     false,
     "a:eth0 h1:cali1 h1:eno1 h2:eno1 h2:cali2 b:eth0",
     NULL,
     true,
     true},

    {"routed by a third host",
     {{"h1", "link br0 bridge 0100 - -; link eno1 - 0101 br0 -; link va tun 0102 br0 -; fdb va 0a01 -; fdb eno1 0301 -"},
      {"h2", "link br1 bridge 0200 - -; link eno1 - 0201 br1 -; link vb tun 0203 br1 -; fdb vb 0b01 -; fdb eno1 0302 -"},
      {"h3", "link lan0 - 0301 - -; addr lan0 10.0.0.1/24; link lan1 - 0302 - -; addr lan1 10.0.1.1/24; forward"},
      {"a", GUEST("0a01", "10.0.0.11/24", "10.0.0.1") "; neigh eth0 10.0.0.1 0301"},
      {"b", GUEST("0b01", "10.0.1.12/24", "10.0.1.1")}},
     "a",
     "eth0",
     "b",
     "eth0",
     false,
     "a:eth0 h1:va h1:eno1 h3:lan0 h3:lan1 h2:eno1 h2:vb b:eth0",
     NULL,
     true,
     true},

    {"routed by a third host that refuses: it would go the way the other direction comes",
     {{"h1", "link br0 bridge 0100 - -; link eno1 - 0101 br0 -; link va tun 0102 br0 -; fdb va 0a01 -; fdb eno1 0301 -"},
      {"h2", "link br1 bridge 0200 - -; link eno1 - 0201 br1 -; link vb tun 0203 br1 -; fdb vb 0b01 -; fdb eno1 0302 -"},
      {"h3",
       "link lan0 - 0301 - -; addr lan0 10.0.0.1/24; link lan1 - 0302 - -; addr lan1 10.0.1.1/24; forward; refuse 10.0.1.12/32"},
      {"a", GUEST("0a01", "10.0.0.11/24", "10.0.0.1") "; neigh eth0 10.0.0.1 0301"},
      {"b", GUEST("0b01", "10.0.1.12/24", "10.0.1.1")}},
     "a",
     "eth0",
     "b",
     "eth0",
     false,
     "a:eth0 h1:va h1:eno1 h3:lan0 h3:lan1 h2:eno1 h2:vb b:eth0",
     NULL,
     false,
     true},

    {"routed by a guest",
     {{"h1", "link br0 bridge 0100 - -; link br1 bridge 0110 - -; link va tun 0102 br0 -; link r0 tun 0103 br0 -; link r1 tun 0104 "
             "br1 -; link vb tun 0105 br1 -;"
             "fdb va 0a01 -; fdb r0 0c01 -; fdb r1 0c02 -; fdb vb 0b01 -"},
      {"a", GUEST("0a01", "10.0.0.11/24", "10.0.0.1")},
      {"b", GUEST("0b01", "10.0.1.12/24", "10.0.1.1")},
      {"r", "link eth0 - 0c01 - -; addr eth0 10.0.0.1/24; link eth1 - 0c02 - -; addr eth1 10.0.1.1/24; forward"}},
     "a",
     "eth0",
     "b",
     "eth0",
     false,
     "a:eth0 h1:va h1:r0 r:eth0 r:eth1 h1:r1 h1:vb b:eth0",
     NULL,
     true,
     true},

    {"behind a NAT: nobody outside has a route to it",
     {{"h1", "link virbr0 bridge 0100 - -; addr virbr0 192.168.122.1/24; link va tun 0102 virbr0 -; fdb va 0a01 -; forward;"
             "link eno1 - 0101 - -; addr eno1 192.0.2.1/24; route 0 192.0.2.254 eno1"},
      {"h2", "link eno1 - 0201 - -; addr eno1 192.0.2.2/24; route 0 192.0.2.254 eno1"},
      {"a", GUEST("0a01", "192.168.122.11/24", "192.168.122.1")}},
     "a",
     "eth0",
     "h2",
     "eno1",
     false,
     "a:eth0 h1:va h1:virbr0 h1:eno1 h2:eno1",
     NULL,
     true,
     false},

    {"every libvirt host has the same network: what comes back goes into its own",
     {{"h1", "link virbr0 bridge 0100 - -; addr virbr0 192.168.122.1/24; link va tun 0102 virbr0 -; fdb va 0a01 -; forward; link "
             "eno1 - 0101 - -; addr eno1 192.0.2.1/24"},
      {"h2", "link virbr0 bridge 0200 - -; addr virbr0 192.168.122.1/24; link eno1 - 0201 - -; addr eno1 192.0.2.2/24"},
      {"a", GUEST("0a01", "192.168.122.11/24", "192.168.122.1")}},
     "a",
     "eth0",
     "h2",
     "eno1",
     false,
     "a:eth0 h1:va h1:virbr0 h1:eno1 h2:eno1",
     "h2:virbr0 h1:va a:eth0",
     true,
     false},

    {"macvtap guests of two hosts",
     {{"h1", "link eno1 - 0101 - -; addr eno1 10.0.0.1/24; link mva macvtap 0a01 - eno1; mode mva bridge"},
      {"h2", "link eno1 - 0201 - -; addr eno1 10.0.0.2/24; link mvb macvtap 0b01 - eno1; mode mvb bridge"},
      {"a", LONELY("0a01", "10.0.0.11/24")},
      {"b", LONELY("0b01", "10.0.0.12/24")}},
     "a",
     "eth0",
     "b",
     "eth0",
     true,
     "a:eth0 h1:mva h1:eno1 h2:eno1 h2:mvb b:eth0",
     NULL,
     true,
     true},

    {"macvtap guests of one host hand over to each other",
     {{"h1", "link eno1 - 0101 - -; link mva macvtap 0a01 - eno1; mode mva bridge; link mvb macvtap 0b01 - eno1; mode mvb bridge"},
      {"a", LONELY("0a01", "10.0.0.11/24")},
      {"b", LONELY("0b01", "10.0.0.12/24")}},
     "a",
     "eth0",
     "b",
     "eth0",
     true,
     "a:eth0 h1:mva h1:mvb b:eth0",
     NULL,
     true,
     true},

    {"in VEPA mode they meet outside",
     {{"h1", "link eno1 - 0101 - -; link mva macvtap 0a01 - eno1; mode mva vepa; link mvb macvtap 0b01 - eno1; mode mvb vepa"},
      {"a", LONELY("0a01", "10.0.0.11/24")},
      {"b", LONELY("0b01", "10.0.0.12/24")}},
     "a",
     "eth0",
     "b",
     "eth0",
     true,
     "a:eth0 h1:mva h1:eno1 h1:mvb b:eth0",
     NULL,
     true,
     true},

    {"there and back by different routers",
     {{"h1", "link br0 bridge 0100 - -; addr br0 10.0.0.1/24; link va tun 0102 br0 -; fdb va 0a01 -; forward; link eno1 - 0101 - "
             "-; addr eno1 192.0.2.1/24"},
      {"h2", "link eno1 - 0201 - -; addr eno1 192.0.2.2/24; route 10.0.0.0/24 192.0.2.3 eno1; neigh eno1 192.0.2.3 0301"},
      {"h3", "link eno1 - 0301 - -; addr eno1 192.0.2.3/24; route 10.0.0.0/24 192.0.2.1 eno1; forward"},
      {"a", GUEST("0a01", "10.0.0.11/24", "10.0.0.1")}},
     "a",
     "eth0",
     "h2",
     "eno1",
     false,
     "a:eth0 h1:va h1:br0 h1:eno1 h2:eno1",
     "h2:eno1 h3:eno1 h1:eno1 h1:br0 h1:va a:eth0",
     true,
     true},

    {"two routers that send it back to each other",
     {{"h1", "link eno1 - 0101 - -; addr eno1 192.0.2.1/24; route 10.9.0.0/24 192.0.2.3 eno1"},
      {"h2", "link eno1 - 0201 - -; addr eno1 10.9.0.2/24"},
      {"h3", "link eno1 - 0301 - -; addr eno1 192.0.2.3/24; route 10.9.0.0/24 192.0.2.4 eno1; forward"},
      {"h4", "link eno1 - 0401 - -; addr eno1 192.0.2.4/24; route 10.9.0.0/24 192.0.2.3 eno1; forward"}},
     "h1",
     "eno1",
     "h2",
     "eno1",
     false,
     "h1:eno1 h3:eno1 h4:eno1 h2:eno1",
     NULL,
     false,
     false},

    {"a host without an agent",
     {{"h1", "link br0 bridge 0100 - -; link eno1 - 0101 br0 -; link va tun 0102 br0 -; fdb va 0a01 -; fdb eno1 0b01 -"},
      {"a", LONELY("0a01", "10.0.0.11/24")},
      {"b", LONELY("0b01", "10.0.0.12/24")}},
     "a",
     "eth0",
     "b",
     "eth0",
     true,
     "a:eth0 h1:va h1:eno1 b:eth0",
     NULL,
     false,
     false},

    {"a router without an agent",
     {{"h1", "link br0 bridge 0100 - -; link eno1 - 0101 br0 -; link va tun 0102 br0 -; fdb va 0a01 -"},
      {"h2", "link br1 bridge 0200 - -; link eno1 - 0201 br1 -; link vb tun 0203 br1 -; fdb vb 0b01 -"},
      {"a", GUEST("0a01", "10.0.0.11/24", "10.0.0.1")},
      {"b", GUEST("0b01", "10.0.1.12/24", "10.0.1.1")}},
     "a",
     "eth0",
     "b",
     "eth0",
     false,
     "a:eth0 h1:va h1:eno1 h2:eno1 h2:vb b:eth0",
     NULL,
     false,
     false},
};

static void packets_go_where_the_machines_would_send_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		check(&cases[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(packets_go_where_the_machines_would_send_them)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
