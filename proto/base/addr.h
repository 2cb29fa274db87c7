/* addr: MAC and IP addresses and prefixes as values. */
#ifndef BW_BASE_ADDR_H
#define BW_BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define MAC_TEXT_MAX    18
#define IP_TEXT_MAX     46
#define PREFIX_TEXT_MAX 50

struct mac {
	uint8_t b[6];
};

struct ip {
	uint8_t family; /* 0 = none, 4 or 6 */
	uint8_t b[16];  /* network order; IPv4 in the first four bytes */
};

struct prefix {
	struct ip ip; /* the address as configured, host bits kept */
	uint8_t len;
};

bool mac_is_set(struct mac m); /* not all zero */
bool mac_equal(struct mac a, struct mac b);
int mac_parse(const char *text, struct mac *out);
const char *mac_format(struct mac m, char out[static MAC_TEXT_MAX]);

struct ip ip_from_bytes(int family /* 4 or 6 */, const void *bytes);
bool ip_equal(struct ip a, struct ip b);
int ip_cmp(struct ip a, struct ip b);
bool ip_is_link_local(struct ip a); /* 169.254/16, fe80::/10 */
bool ip_is_loopback(struct ip a);
bool ip_is_multicast(struct ip a);
int ip_parse(const char *text, struct ip *out);
const char *ip_format(struct ip a, char out[static IP_TEXT_MAX]); /* "-" for none */
socklen_t ip_to_sockaddr(struct ip a, uint16_t port, uint32_t scope_id, struct sockaddr_storage *out);
int ip_from_sockaddr(const struct sockaddr *sa, struct ip *out, uint16_t *port);

bool prefix_contains(struct prefix p, struct ip a);
bool prefix_same_net(struct prefix a, struct prefix b); /* same length and same network bits */
int prefix_parse(const char *text, struct prefix *out); /* length optional: /32 or /128 */
const char *prefix_format(struct prefix p, char out[static PREFIX_TEXT_MAX]);
struct prefix prefix_network(struct prefix p); /* host bits cleared */

#endif
