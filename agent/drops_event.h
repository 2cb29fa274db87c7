/* drops_event: what the program in the kernel (drops.bpf.c) and the process that reads it (drops_bpf.c) agree on. Included by
 * both, so it needs nothing else. */
#ifndef BW_AGENT_DROPS_EVENT_H
#define BW_AGENT_DROPS_EVENT_H

#define DROP_SNAP       256 /* bytes from the network header on: VXLAN around a probe, or the packet an ICMP error quotes */
#define DROP_PLACE      48
#define DROP_IFNAME     16
#define DROP_RING_BYTES (256 * 1024)
#define DROP_NUMBERS    (65536 / 64)

struct drop_event {
	unsigned int reason;
	unsigned short ethertype; /* of what stands at the network header */
	unsigned short length;    /* bytes of `data` that are there */
	char ifname[DROP_IFNAME];
	char place[DROP_PLACE];
	unsigned char data[DROP_SNAP];
};

/* What the program is told. */
struct drop_wanted {
	unsigned long long numbers[DROP_NUMBERS]; /* bit per port or echo identifier of the rounds' probes */
	unsigned long long lost;                  /* events for which the ring had no room */
};

#endif
