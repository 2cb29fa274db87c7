/* xfrm: what must be encrypted, and for what there is a key: policies and states of IPsec, without their secrets. */
#include "agent/facts/source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/xfrm.h>
#include <stdio.h>
#include <string.h>

static struct ip address(const xfrm_address_t *a, int family)
{
	struct ip ip = {.family = family == AF_INET ? 4 : 6};

	memcpy(ip.b, a, family == AF_INET ? 4 : 16);
	return ip;
}

/* "xfrm.policy.in 10.0.0.1/32 10.0.0.2/32"; what is too long for a name is left out. */
static void policy_add(struct snapshot *s, const struct xfrm_userpolicy_info *p, const char *action)
{
	static const char *const ways[] = {"in", "out", "fwd"};
	struct prefix src = {address(&p->sel.saddr, p->sel.family), p->sel.prefixlen_s};
	struct prefix dst = {address(&p->sel.daddr, p->sel.family), p->sel.prefixlen_d};
	char a[PREFIX_TEXT_MAX], b[PREFIX_TEXT_MAX], name[sizeof s->texts->name];

	if (p->dir >= sizeof ways / sizeof *ways || (p->sel.family != AF_INET && p->sel.family != AF_INET6))
		return;
	int n = snprintf(name, sizeof name, "xfrm.policy.%s %s %s", ways[p->dir], prefix_format(src, a), prefix_format(dst, b));
	if (n > 0 && (size_t)n < sizeof name)
		snapshot_add_text(s, name, action);
}

/* A policy without templates lets it pass in clear. */
static void policy_read(struct snapshot *s, const struct nlmsghdr *h)
{
	const struct nlattr *tb[XFRMA_MAX + 1] = {0};
	const struct xfrm_userpolicy_info *p = mnl_nlmsg_get_payload(h);

	if (h->nlmsg_type != XFRM_MSG_NEWPOLICY || mnl_nlmsg_get_payload_len(h) < sizeof *p)
		return;
	nl_attrs(h, sizeof *p, tb, XFRMA_MAX);
	const struct nlattr *tmpl = tb[XFRMA_TMPL];
	if (p->action == XFRM_POLICY_BLOCK)
		policy_add(s, p, "block");
	else if (tmpl && mnl_attr_get_payload_len(tmpl) >= sizeof(struct xfrm_user_tmpl))
		policy_add(s, p,
		           ((const struct xfrm_user_tmpl *)mnl_attr_get_payload(tmpl))->optional ? "encrypt when possible"
		                                                                                 : "encrypt");
}

static void state_read(struct snapshot *s, const struct nlmsghdr *h)
{
	const struct xfrm_usersa_info *a = mnl_nlmsg_get_payload(h);
	char src[IP_TEXT_MAX], dst[IP_TEXT_MAX], name[sizeof s->texts->name];

	if (h->nlmsg_type != XFRM_MSG_NEWSA || mnl_nlmsg_get_payload_len(h) < sizeof *a ||
	    (a->family != AF_INET && a->family != AF_INET6))
		return;
	snprintf(name, sizeof name, "xfrm.state %s %s", ip_format(address(&a->saddr, a->family), src),
	         ip_format(address(&a->id.daddr, a->family), dst));
	snapshot_add_text(s, name, a->id.proto == IPPROTO_ESP ? "esp" : a->id.proto == IPPROTO_AH ? "ah" : "other");
}

void xfrm_read(struct snapshot *s, const struct nlmsghdr *h)
{
	policy_read(s, h);
	state_read(s, h);
}

static int on_answer(const struct nlmsghdr *h, void *arg)
{
	xfrm_read(arg, h);
	return MNL_CB_OK;
}

int fact_read_xfrm(struct snapshot *s, struct err *e)
{
	struct nl n;

	(void)e; /* a kernel without it, or no right to see it: then nothing is known of it */
	if (nl_open(&n, NETLINK_XFRM, e) < 0)
		return 0;
	struct nlmsghdr *req = nl_request(&n, XFRM_MSG_GETPOLICY, NLM_F_DUMP, sizeof(struct xfrm_userpolicy_id));
	if (nl_talk(&n, req, on_answer, s) == 0) {
		req = nl_request(&n, XFRM_MSG_GETSA, NLM_F_DUMP, sizeof(struct xfrm_usersa_id));
		nl_talk(&n, req, on_answer, s);
	}
	nl_close(&n);
	return 0;
}
