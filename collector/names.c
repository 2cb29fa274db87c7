#include "collector/names.h"

#include "proto/base/mem.h"

#include <string.h>

static const struct snapshot *said_by(const struct dossier *d, int party)
{
	const struct party *p = &d->party[party];
	return p->after ? p->after : p->reported ? p->before : NULL;
}

static bool is_of_peer(const struct dossier *d, int peer, struct ip ip)
{
	const struct party *p = &d->party[peer];
	const struct snapshot *s = said_by(d, peer);
	const struct prefix last = ip.family == 4 ? p->ep_last.ip4 : p->ep_last.ip6;
	if ((s && snapshot_addr_of(s, ip) && !ip_is_loopback(ip)) || ip_equal(last.ip, ip))
		return true;
	for (size_t i = 0; i < d->owner_count; i++)
		if (ip_equal(d->owners[i].ip.ip, ip) && strcmp(d->owners[i].agent, p->name) == 0)
			return true;
	return false;
}

/* On the segment of the two; elsewhere the same address may be anybody's. */
static const struct owner *owner_near(const struct dossier *d, struct ip ip)
{
	for (size_t i = 0; d->onlink && i < d->owner_count; i++)
		if (d->owners[i].same_segment && ip_equal(d->owners[i].ip.ip, ip))
			return &d->owners[i];
	return NULL;
}

/* Whatever a router or a balancer may do with addresses of its own: this one leads to somebody else, or to nobody. */
static bool is_elsewhere(const struct dossier *d, int end, struct ip ip)
{
	const struct party *peer = &d->party[1 - end];
	const struct snapshot *own = said_by(d, end);
	struct prefix theirs = ip.family == 4 ? peer->ep.ip4 : peer->ep.ip6;
	struct ip from = ip.family == 4 ? d->party[end].ep.ip4.ip : d->party[end].ep.ip6.ip;
	bool near = theirs.ip.family && !ip_is_link_local(theirs.ip) && prefix_contains(theirs, ip);
	return near || ip_is_loopback(ip) || owner_near(d, ip) || (own && !own->truncated && !snapshot_route(own, ip, from));
}

/* The addresses of one family: as soon as one of them is the peer's, the name leads there. */
static enum name_leads leads(const struct dossier *d, int end, const char *text, struct name_found *out)
{
	enum name_leads found = NAME_UNKNOWN;
	char list[sizeof((struct text *)0)->text], *rest = list, *word;
	struct ip ip;
	str_copy(list, sizeof list, text ? text : "");
	while ((word = strsep(&rest, " "))) {
		if (ip_parse(word, &ip) < 0)
			continue;
		if (is_of_peer(d, 1 - end, ip))
			return NAME_TO_PEER;
		enum name_leads here = is_elsewhere(d, end, ip) ? NAME_ELSEWHERE : NAME_OUTSIDE;
		if (found == NAME_UNKNOWN)
			*out = (struct name_found){.ip = ip, .owner = owner_near(d, ip)};
		found = found == NAME_OUTSIDE ? found : here;
	}
	return found;
}

/* A guest may say anything, and a name becomes a part of a command: hosts(5). */
static bool is_host_name(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
	return name && name[0] && !name[strspn(name, letters)];
}

enum name_leads name_leads(const struct dossier *d, int end, struct name_found *out)
{
	const struct snapshot *s = said_by(d, end), *peer = said_by(d, 1 - end);
	struct name_found in[2] = {{0}, {0}};
	if (!s || !peer || peer->truncated)
		return NAME_UNKNOWN;
	enum name_leads four = leads(d, end, snapshot_text(s, "name.ip4"), &in[0]);
	enum name_leads six = leads(d, end, snapshot_text(s, "name.ip6"), &in[1]);
	*out = four == NAME_ELSEWHERE || (four == NAME_OUTSIDE && six != NAME_ELSEWHERE) ? in[0] : in[1];
	out->name = snapshot_text(s, "name.asked");
	out->in_hosts = snapshot_text(s, "name.hosts") != NULL;
	if (!is_host_name(out->name))
		return NAME_UNKNOWN;
	return four == NAME_ELSEWHERE || six == NAME_ELSEWHERE ? NAME_ELSEWHERE
	       : four == NAME_OUTSIDE || six == NAME_OUTSIDE   ? NAME_OUTSIDE
	       : four == NAME_TO_PEER || six == NAME_TO_PEER   ? NAME_TO_PEER
	                                                       : NAME_UNKNOWN;
}
