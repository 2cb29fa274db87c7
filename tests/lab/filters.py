"""Filters of every kind and place, faked in the shared lab: other hooks and families, rules that only a counter or the pattern of
what is lost can prove, several at once. Run like the causes: named first, nothing false beside it, the printed fixes, `ok` again."""
from causes import Case, NO_TABLE

KEEP = "ct state established,related accept;"


def nft(family, hook, body, priority=0, device=None, policy="accept", before=""):
    at = f' device "{device}"' if device else ""
    return (f"nft -f - <<'N'\ntable {family} t {{\n{before}\nchain c {{\ntype filter hook {hook}{at} priority {priority}; policy {policy};\n{body}\n"
            "}\n}\nN\n")


def drop(cause, pair, where, rules, name, also=(), args=()):
    places = rules if isinstance(rules, list) else [(where, rules)]
    return Case(cause, pair, places, [(p, NO_TABLE) for p, _ in places], where, name="filter-" + name, also=also, args=args)


def cases(lab):
    a1, a2 = lab.guests["a1"], lab.guests["a2"]
    return [
        drop("guest-fw-inbound-drop", ("a2", "a1"), "a1", nft("inet", "input", "iif lo accept; " + KEEP, policy="drop"), "policy-takes-nd-too"),
        drop("guest-fw-inbound-drop", ("h1", "a1"), "a1", nft("netdev", "ingress", "drop", device="eth0"), "everything-at-ingress"),
        drop("guest-fw-inbound-drop", ("a2", "a1"), "a1", nft("inet", "input", KEEP + " fib daddr type local meta mark 0 udp dport 1-65535 drop"), "half-understood"),
        drop("guest-fw-inbound-drop", ("a2", "a1"), "a1", nft("inet", "input", KEEP + " meta l4proto { icmp, udp, tcp } limit rate over 1/second burst 1 packets drop"), "limit"),
        drop("guest-fw-icmp-only", ("h1", "a1"), "a1", "iptables -A INPUT -p icmp --icmp-type echo-reply -j DROP", "echo-replies"),
        drop("guest-fw-reject", ("a2", "a1"), "a1",
             nft("inet", "input", KEEP + " ct status dnat accept\niifname lo accept\nct state invalid drop\ngoto zone\n",
                 before="chain zone {\ntcp dport 22 ct state new,untracked accept\nreject with icmpx admin-prohibited\n}"), "zones-reject"),
        drop("host-fw-input-drop", ("h1", "a1"), "h1", nft("netdev", "ingress", "ip protocol { udp, tcp } drop", device="br-a"), "on-the-bridge-device"),
        drop("hypervisor-vm-firewall", ("a3", "c1"), "h1", nft("ip", "forward", 'ct state established accept; iifname "br-a" oifname "br-c" drop'), "routed"),
        drop("hypervisor-vm-egress-firewall", ("a1", "a2"), "h1", nft("netdev", "egress", "ip6 nexthdr { udp, tcp } drop", device="up-a"), "ipv6-at-the-uplink"),
        drop("host-fw-output-drop", ("h2", "h1"), None,
             [("h1", nft("inet", "input", KEEP + ' iifname "br-a" meta l4proto { icmp, udp, tcp } drop')),
              ("h2", nft("inet", "output", KEEP + ' oifname "br-a" meta l4proto { udp, tcp } drop'))], "one-behind-the-other", also=["host-fw-input-drop"]),
        drop("guest-fw-reject", ("a1", "a2"), "a2", nft("inet", "input", "tcp dport 8080 reject with tcp reset"), "of-a-service", args=("--service", "8080")),
    ]


def shared():
    return [("harmless-filters-are-no-cause", harmless)]


def harmless(lab):
    try:
        lab.run("a1", nft("inet", "input", KEEP + ' tcp dport 22 drop; ip saddr 10.0.0.99 drop; iifname "lo" drop; meta mark 7 drop; udp dport 1-65535 limit rate over 5000/second drop'))
        lab.healthy("a2", "a1")
    finally:
        lab.run("a1", NO_TABLE)
