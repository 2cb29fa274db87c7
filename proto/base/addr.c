#include "proto/base/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool mac_is_set(struct mac m)
{
	static const struct mac none;

	return !mac_equal(m, none);
}

bool mac_equal(struct mac a, struct mac b) { return memcmp(a.b, b.b, sizeof a.b) == 0; }

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int mac_parse(const char *text, struct mac *out)
{
	struct mac m;

	for (int i = 0; i < 6; i++, text += 3) {
		int hi = hex_digit(text[0]), lo = hi < 0 ? -1 : hex_digit(text[1]);

		if (lo < 0 || (i < 5 ? text[2] != ':' && text[2] != '-' : text[2] != '\0'))
			return -1;
		m.b[i] = (uint8_t)(hi << 4 | lo);
	}
	*out = m;
	return 0;
}

const char *mac_format(struct mac m, char out[static MAC_TEXT_MAX])
{
	snprintf(out, MAC_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", m.b[0], m.b[1], m.b[2], m.b[3], m.b[4], m.b[5]);
	return out;
}

static size_t family_bytes(int family) { return family == 4 ? 4 : family == 6 ? 16 : 0; }

struct ip ip_from_bytes(int family, const void *bytes)
{
	struct ip a = {0};

	a.family = (uint8_t)family;
	memcpy(a.b, bytes, family_bytes(family));
	return a;
}

int ip_cmp(struct ip a, struct ip b)
{
	if (a.family != b.family)
		return a.family < b.family ? -1 : 1;
	return memcmp(a.b, b.b, family_bytes(a.family));
}

bool ip_equal(struct ip a, struct ip b) { return ip_cmp(a, b) == 0; }

bool ip_is_link_local(struct ip a)
{
	if (a.family == 4)
		return a.b[0] == 169 && a.b[1] == 254;
	return a.family == 6 && a.b[0] == 0xfe && (a.b[1] & 0xc0) == 0x80;
}

bool ip_is_loopback(struct ip a)
{
	static const uint8_t one[16] = {[15] = 1};

	if (a.family == 4)
		return a.b[0] == 127;
	return a.family == 6 && memcmp(a.b, one, sizeof one) == 0;
}

bool ip_is_multicast(struct ip a) { return (a.family == 4 && (a.b[0] & 0xf0) == 0xe0) || (a.family == 6 && a.b[0] == 0xff); }

int ip_parse(const char *text, struct ip *out)
{
	struct ip a = {.family = strchr(text, ':') ? 6 : 4};

	if (inet_pton(a.family == 4 ? AF_INET : AF_INET6, text, a.b) != 1)
		return -1;
	*out = a;
	return 0;
}

const char *ip_format(struct ip a, char out[static IP_TEXT_MAX])
{
	int af = a.family == 4 ? AF_INET : AF_INET6;

	if (!family_bytes(a.family) || !inet_ntop(af, a.b, out, IP_TEXT_MAX))
		memcpy(out, "-", 2);
	return out;
}

socklen_t ip_to_sockaddr(struct ip a, uint16_t port, uint32_t scope_id, struct sockaddr_storage *out)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof *out);
	if (a.family == 4) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons(port);
		memcpy(&in4->sin_addr, a.b, 4);
		return sizeof *in4;
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	/* a scope is only valid, and only wanted, where the address needs one (RFC 4007) */
	in6->sin6_scope_id = ip_is_link_local(a) || ip_is_multicast(a) ? scope_id : 0;
	memcpy(&in6->sin6_addr, a.b, 16);
	return sizeof *in6;
}

int ip_from_sockaddr(const struct sockaddr *sa, struct ip *out, uint16_t *port)
{
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
	uint16_t p;

	if (sa->sa_family == AF_INET) {
		memcpy(&in4, sa, sizeof in4);
		*out = ip_from_bytes(4, &in4.sin_addr);
		p = in4.sin_port;
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof in6);
		*out = IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) ? ip_from_bytes(4, in6.sin6_addr.s6_addr + 12)
		                                            : ip_from_bytes(6, &in6.sin6_addr);
		p = in6.sin6_port;
	} else {
		return -1;
	}
	if (port)
		*port = ntohs(p);
	return 0;
}

struct prefix prefix_network(struct prefix p)
{
	size_t bytes = family_bytes(p.ip.family);

	for (size_t i = 0; i < bytes; i++) {
		int keep = (int)p.len - (int)i * 8;

		if (keep <= 0)
			p.ip.b[i] = 0;
		else if (keep < 8)
			p.ip.b[i] &= (uint8_t)(0xff << (8 - keep));
	}
	return p;
}

bool prefix_contains(struct prefix p, struct ip a)
{
	struct prefix other = {a, p.len};

	return p.ip.family != 0 && ip_equal(prefix_network(p).ip, prefix_network(other).ip);
}

bool prefix_same_net(struct prefix a, struct prefix b) { return a.len == b.len && prefix_contains(a, b.ip); }

int prefix_parse(const char *text, struct prefix *out)
{
	char address[IP_TEXT_MAX];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	struct prefix p;
	unsigned long len;
	char *end;

	if (n >= sizeof address)
		return -1;
	memcpy(address, text, n);
	address[n] = '\0';
	if (ip_parse(address, &p.ip) < 0)
		return -1;
	len = family_bytes(p.ip.family) * 8;
	if (slash) {
		unsigned long max = len;

		if (slash[1] < '0' || slash[1] > '9')
			return -1;
		len = strtoul(slash + 1, &end, 10);
		if (*end || len > max)
			return -1;
	}
	p.len = (uint8_t)len;
	*out = p;
	return 0;
}

const char *prefix_format(struct prefix p, char out[static PREFIX_TEXT_MAX])
{
	char address[IP_TEXT_MAX];

	snprintf(out, PREFIX_TEXT_MAX, "%s/%u", ip_format(p.ip, address), p.len);
	return out;
}
