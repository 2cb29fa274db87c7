/* platform: which adapter, virtual switch or switch port of what platforms say belongs to a machine of the pair. An adapter is a
 * party's by its hardware address; where that was changed or is hidden, by the host's device, by the address it had before, or by
 * the host name that the VM's tools told the platform. */
#include "collector/diagnose/inquiry.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- where facts come from: every machine of the round, and what the collector was told ---- */

size_t sources_of(const struct inquiry *q, const struct snapshot *out[SOURCES_OF_MAX])
{
	size_t n = 0;
	for (size_t i = 0; i < q->d->party_count; i++) {
		const struct party *p = &q->d->party[i];
		const struct snapshot *s = p->after ? p->after : p->before;
		if (s && (s->vport_count || s->vswitch_count || s->swport_count || s->pnote_count))
			out[n++] = s;
	}
	if (q->d->imported)
		out[n++] = q->d->imported;
	return n;
}

/* "web.example.org" is called "web", too; agents are told as "tenant/name" where that is needed. */
static bool label_is(const char *full, const char *name)
{
	size_t len = strcspn(full, ".");
	return strcasecmp(full, name) == 0 || (strlen(name) == len && strncasecmp(full, name, len) == 0);
}

bool party_is_called(const struct inquiry *q, int party, const char *name)
{
	const struct party *p = &q->d->party[party];
	const struct snapshot *s = p->after ? p->after : p->before;
	const char *slash = strrchr(p->name, '/');
	if (!name[0])
		return false;
	return strcasecmp(p->name, name) == 0 || label_is(slash ? slash + 1 : p->name, name) ||
	       (s && s->hostname[0] && label_is(s->hostname, name));
}

/* Hardware addresses that it had before, newest first. */
static size_t macs_before(const struct inquiry *q, int party, struct mac out[PLATFORM_MACS_MAX])
{
	const struct party *p = &q->d->party[party];
	size_t n = 0;
	for (size_t i = p->change_count; i-- > 0 && n < PLATFORM_MACS_MAX;) {
		const char *key = p->changes[i].key;
		size_t len = strlen(key);
		if (strncmp(key, "link.", 5) == 0 && len > 4 && strcmp(key + len - 4, ".mac") == 0 && p->changes[i].was &&
		    mac_parse(p->changes[i].was, &out[n]) == 0)
			n++;
	}
	return n;
}

/* ---- adapters ---- */

/* Who is looked for: what is compared with every adapter there is. */
struct wanted {
	const struct inquiry *q;
	int end;
	const struct snapshot *host;
	size_t mac_count;
	struct mac macs[PLATFORM_MACS_MAX]; /* before */
};

static bool is_among(struct mac mac, const struct mac *macs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (mac_equal(mac, macs[i]))
			return true;
	}
	return false;
}

static int vport_rank(const struct wanted *w, const struct snapshot *from, const struct vport *v)
{
	const struct party *p = &w->q->d->party[w->end];
	bool same_mac = mac_is_set(v->mac) && (mac_equal(v->mac, p->ep.mac) || mac_equal(v->mac, p->ep_last.mac));
	bool same_port = v->port[0] && from == w->host && p->at.port[0] && strcmp(v->port, p->at.port) == 0;
	bool had_mac = mac_is_set(v->mac) && is_among(v->mac, w->macs, w->mac_count);
	bool called = (same_mac || same_port || had_mac || v->guest[0]) &&
	              (party_is_called(w->q, w->end, v->guest) || party_is_called(w->q, w->end, v->vm));
	if (same_mac)
		return 8 + 4 * same_port + 2 * called;
	if (same_port)
		return 6 + called;
	if (had_mac)
		return 4 + called;
	return called && party_is_called(w->q, w->end, v->guest) ? 1 : 0;
}

const struct vport *vport_of(const struct inquiry *q, int end)
{
	const struct snapshot *from[SOURCES_OF_MAX];
	const struct vport *best = NULL;
	size_t n = end >= 0 ? sources_of(q, from) : 0;
	int rank = 0;
	if (!n)
		return NULL;
	struct wanted w = {.q = q, .end = end, .host = party_facts(q->d, dossier_host(q->d, end))};
	w.mac_count = macs_before(q, end, w.macs);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < from[i]->vport_count; k++) {
			int r = vport_rank(&w, from[i], &from[i]->vports[k]);
			if (r > rank) {
				rank = r;
				best = &from[i]->vports[k];
			}
		}
	}
	return best;
}

bool vport_same(const struct vport *a, const struct vport *b)
{
	return strcmp(a->platform, b->platform) == 0 && strcmp(a->vm, b->vm) == 0 && strcmp(a->nic, b->nic) == 0 &&
	       strcmp(a->id, b->id) == 0;
}

const struct vport *vport_next(const struct inquiry *q, const struct vport *after)
{
	const struct snapshot *from[SOURCES_OF_MAX];
	size_t n = sources_of(q, from);
	bool found = !after;
	for (size_t i = 0; i < n; i++) {
		const struct vport *first = from[i]->vports;
		if (found && from[i]->vport_count)
			return first;
		if (found || after < first || after >= first + from[i]->vport_count)
			continue;
		found = true;
		if (after + 1 < first + from[i]->vport_count)
			return after + 1;
	}
	return NULL;
}

const struct vswitch *vswitch_of(const struct inquiry *q, const struct vport *v)
{
	const struct snapshot *from[SOURCES_OF_MAX];
	size_t n = sources_of(q, from);
	for (size_t i = 0; v && i < n; i++) {
		for (size_t k = 0; k < from[i]->vswitch_count; k++) {
			const struct vswitch *s = &from[i]->vswitches[k];
			bool here = !s->host[0] || !v->host[0] || label_is(s->host, v->host) || label_is(v->host, s->host);
			bool named = (v->vswitch[0] && strcmp(s->name, v->vswitch) == 0) ||
			             (v->network[0] && strcmp(s->name, v->network) == 0);
			if (here && named && strcmp(s->platform, v->platform) == 0)
				return s;
		}
	}
	return NULL;
}

/* ---- switch ports ---- */

static bool has_mac(const struct snapshot *s, struct mac mac)
{
	for (size_t i = 0; s && mac_is_set(mac) && i < s->link_count; i++) {
		if (mac_equal(s->links[i].mac, mac))
			return true;
	}
	return false;
}

/* The machine whose cable goes to the switch: the guest's host, where there is an agent on it. */
static bool swport_is(const struct inquiry *q, int end, const struct swport *s)
{
	int host = dossier_host(q->d, end), who = host >= 0 ? host : end;
	const struct vport *v = host < 0 ? vport_of(q, end) : NULL;
	const char *uplink = q->d->party[end].at.uplink;
	if (s->host[0] && party_is_called(q, who, s->host))
		return !s->ifname[0] || !uplink[0] || strcmp(s->ifname, uplink) == 0;
	if (v && v->host[0] && s->host[0] && (label_is(s->host, v->host) || label_is(v->host, s->host)))
		return true;
	return has_mac(party_facts(q->d, who), s->peer);
}

const struct swport *swport_of(const struct inquiry *q, int end)
{
	const struct snapshot *from[SOURCES_OF_MAX];
	size_t n = sources_of(q, from);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < from[i]->swport_count; k++) {
			if (swport_is(q, end, &from[i]->swports[k]))
				return &from[i]->swports[k];
		}
	}
	return NULL;
}

/* ---- notes ---- */

static bool object_concerns(const struct inquiry *q, int end, const char *object)
{
	const struct vport *v = vport_of(q, end);
	const struct vswitch *s = vswitch_of(q, v);
	int host = dossier_host(q->d, end);
	if (party_is_called(q, end, object) || (host >= 0 && party_is_called(q, host, object)))
		return true;
	if (!v)
		return false;
	return strcasecmp(object, v->vm) == 0 || (v->host[0] && (label_is(object, v->host) || label_is(v->host, object))) ||
	       (s && strcasecmp(object, s->name) == 0);
}

const struct pnote *pnote_of(const struct inquiry *q, int end, const char *const *codes)
{
	const struct snapshot *from[SOURCES_OF_MAX];
	size_t n = sources_of(q, from);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < from[i]->pnote_count; k++) {
			const struct pnote *p = &from[i]->pnotes[k];
			for (size_t c = 0; codes[c]; c++) {
				size_t len = strlen(codes[c]);
				bool same = codes[c][len - 1] == '*' ? strncasecmp(p->code, codes[c], len - 1) == 0
				                                     : strcasecmp(p->code, codes[c]) == 0;
				if (same && object_concerns(q, end, p->object))
					return p;
			}
		}
	}
	return NULL;
}

/* ---- names for fixes ---- */

static void bind_adapter(const struct inquiry *q, const struct vport *v, const char *platform, const char *nic)
{
	char key[48];
	snprintf(key, sizeof key, "%s.vm", platform);
	bindings_add(q->learned, key, "%s", v->vm);
	if (nic[0]) {
		snprintf(key, sizeof key, "%s.nic", platform);
		bindings_add(q->learned, key, "%s", nic);
	}
	if (v->network[0]) {
		snprintf(key, sizeof key, "%s.net", platform);
		bindings_add(q->learned, key, "%s", v->network);
	}
	if (v->vswitch[0]) {
		snprintf(key, sizeof key, "%s.switch", platform);
		bindings_add(q->learned, key, "%s", v->vswitch);
	}
	if (v->host[0]) {
		snprintf(key, sizeof key, "%s.host", platform);
		bindings_add(q->learned, key, "%s", v->host);
	}
}

/* What `qm set` takes as one text: all that shall stay. */
static void bind_proxmox(const struct inquiry *q, const struct vport *v)
{
	char mac[MAC_TEXT_MAX], tag[16] = "";
	if (!v->id[0] || !v->nic[0] || !v->model[0] || !v->network[0])
		return;
	if (v->vlan)
		snprintf(tag, sizeof tag, ",tag=%u", v->vlan);
	bindings_add(q->learned, "proxmox.id", "%s", v->id);
	bindings_add(q->learned, "proxmox.nic", "%s", v->nic);
	bindings_add(q->learned, "proxmox.plain", "%s=%s,bridge=%s", v->model, mac_format(v->mac, mac), v->network);
	bindings_add(q->learned, "proxmox.base", "%s=%s,bridge=%s%s%s", v->model, mac, v->network, tag,
	             v->firewall == SAID_YES ? ",firewall=1" : "");
	bindings_add(q->learned, "proxmox.fresh", "%s,bridge=%s%s", v->model, v->network, tag);
	bindings_add(q->learned, "proxmox.unmodelled", "%s,bridge=%s%s", mac, v->network, tag);
}

/* A name without a text: it only says for which platform a command is. */
static void bind_platform(const struct inquiry *q, const struct vport *v)
{
	char key[24];
	snprintf(key, sizeof key, "is.%s", v->platform);
	bindings_add(q->learned, key, "%s", "");
}

void vport_bind(const struct inquiry *q, int end, const struct vport *v)
{
	char mac[MAC_TEXT_MAX];
	int host = dossier_host(q->d, end);
	const char *at = host >= 0 ? name_of(q, host) : v->host[0] ? v->host : v->platform;
	bindings_add(q->learned, "platform.at", "%s", at[0] ? at : name_of(q, end));
	bindings_add(q->learned, "component", "%s%s%s", v->vm, v->nic[0] ? " " : "", v->nic);
	bindings_add(q->learned, "vport.mac", "%s", mac_format(v->mac, mac));
	bind_platform(q, v);
	if (strcmp(v->platform, "libvirt") == 0)
		bind_adapter(q, v, "libvirt", v->port[0] ? v->port : mac);
	else if (strcmp(v->platform, "proxmox") == 0)
		bind_proxmox(q, v);
	else if (strcmp(v->platform, "vmware") == 0 || strcmp(v->platform, "hyperv") == 0)
		bind_adapter(q, v, v->platform, v->nic);
	else
		bindings_add(q->learned, "platform.other", "%s", v->platform);
}
