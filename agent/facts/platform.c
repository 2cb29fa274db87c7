#include "agent/facts/platform.h"

#include "agent/facts/source.h"
#include "proto/base/mem.h"
#include "proto/platform_file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (256 * 1024)
#define FILES_MAX      1024 /* of one directory */
#define PATH_LEN       320

static struct {
	bool used;
	char root[128];
	struct platform_files *files;
	uint64_t stamp;        /* of all that was read ... */
	struct snapshot *says; /* ... and what it said */
} platform;

void platform_use(const char *root, const char *const *files, size_t count)
{
	platform.used = true;
	if (str_copy(platform.root, sizeof platform.root, root) < 0)
		platform.root[0] = '\0';
	platform_files_free(platform.files);
	platform.files = count ? platform_files_new(files, count) : NULL;
	snapshot_free(platform.says);
	platform.says = NULL;
}

/* ---- files ---- */

/* Owned text; NULL: not there, not ours to read, or too long. */
static char *text_read(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = f ? mem_alloc(FILE_BYTES_MAX + 1) : NULL;
	size_t len = f ? fread(text, 1, FILE_BYTES_MAX + 1, f) : 0;

	if (f)
		fclose(f);
	if (!text || len > FILE_BYTES_MAX) {
		free(text);
		return NULL;
	}
	text[len] = '\0';
	return text;
}

static void path_of(char out[static PATH_LEN], const char *dir, const char *name)
{
	snprintf(out, PATH_LEN, "%s/%s%s%s", platform.root, dir, name[0] ? "/" : "", name);
}

static char *text_of(const char *dir, const char *name)
{
	char path[PATH_LEN];

	path_of(path, dir, name);
	return text_read(path);
}

static bool there_is(const char *dir, const char *name)
{
	char path[PATH_LEN];

	path_of(path, dir, name);
	return access(path, F_OK) == 0;
}

typedef void file_fn(void *arg, const char *dir, const char *name);

static void each_file(const char *dir, const char *ending, file_fn *fn, void *arg)
{
	char path[PATH_LEN];
	struct dirent *entry;
	size_t n = 0, want = strlen(ending);
	DIR *d;

	path_of(path, dir, "");
	d = opendir(path);
	while (d && n < FILES_MAX && (entry = readdir(d))) {
		size_t len = strlen(entry->d_name);
		if (len <= want || strcmp(entry->d_name + len - want, ending) != 0)
			continue;
		fn(arg, dir, entry->d_name);
		n++;
	}
	if (d)
		closedir(d);
}

/* ---- did anything change? ---- */

static uint64_t mix(uint64_t h, uint64_t v) { return (h ^ v) * 0x100000001b3; }

static void stamp_add(void *arg, const char *dir, const char *name)
{
	uint64_t *sum = arg, h = 0xcbf29ce484222325;
	char path[PATH_LEN];
	struct stat st;

	path_of(path, dir, name);
	if (stat(path, &st) != 0)
		return;
	for (const char *c = path; *c; c++)
		h = mix(h, (uint8_t)*c);
	h = mix(mix(h, (uint64_t)st.st_mtim.tv_sec), (uint64_t)st.st_mtim.tv_nsec);
	*sum += mix(mix(h, (uint64_t)st.st_size), (uint64_t)st.st_ino); /* in whatever order */
}

#define LV_RUN  "run/libvirt/qemu"
#define LV_ETC  "etc/libvirt/qemu"
#define LV_NET  "run/libvirt/network"
#define LV_NETS "etc/libvirt/qemu/networks"
#define PVE_VM  "etc/pve/qemu-server"
#define PVE_FW  "etc/pve/firewall"
#define PVE_RUN "run/qemu-server"

static uint64_t stamp_now(void)
{
	static const char *const watched[][2] = {{LV_RUN, ".xml"},  {LV_ETC, ".xml"}, {LV_NET, ".xml"}, {LV_NETS, ".xml"},
	                                         {PVE_VM, ".conf"}, {PVE_FW, ".fw"},  {PVE_RUN, ".pid"}};
	uint64_t sum = 1;

	for (size_t i = 0; i < sizeof watched / sizeof *watched; i++)
		each_file(watched[i][0], watched[i][1], stamp_add, &sum);
	stamp_add(&sum, LV_NET, "nwfilter.leases");
	stamp_add(&sum, "etc/network", "interfaces");
	return sum;
}

/* ---- libvirt ---- */

struct libvirt {
	struct snapshot *s;
	char *leases;
};

static void domain_read(void *arg, const char *dir, const char *name)
{
	struct libvirt *l = arg;
	char *text;

	if (strcmp(dir, LV_ETC) == 0 && there_is(LV_RUN, name)) /* its status says more */
		return;
	text = text_of(dir, name);
	if (text)
		libvirt_read_domain(l->s, text, l->leases, wall_now().ns / 1000000000);
	free(text);
}

static void network_read(void *arg, const char *dir, const char *name)
{
	struct snapshot *s = arg;
	char *text;

	if (strcmp(dir, LV_NETS) == 0 && there_is(LV_NET, name))
		return;
	text = text_of(dir, name);
	if (text)
		libvirt_read_network(s, text, strcmp(dir, LV_NET) == 0);
	free(text);
}

static void libvirt_read(struct snapshot *s)
{
	struct libvirt l = {s, text_of(LV_NET, "nwfilter.leases")};

	each_file(LV_RUN, ".xml", domain_read, &l);
	each_file(LV_ETC, ".xml", domain_read, &l);
	each_file(LV_NET, ".xml", network_read, s);
	each_file(LV_NETS, ".xml", network_read, s);
	free(l.leases);
}

/* ---- Proxmox ---- */

struct proxmox {
	struct snapshot *s;
	bool fw_on;
};

static void vm_read(void *arg, const char *dir, const char *name)
{
	struct proxmox *p = arg;
	char id[16], file[32], *text, *fw;

	snprintf(id, sizeof id, "%.*s", (int)strcspn(name, "."), name);
	text = text_of(dir, name);
	if (!text)
		return;
	snprintf(file, sizeof file, "%s.fw", id);
	fw = text_of(PVE_FW, file);
	snprintf(file, sizeof file, "%s.pid", id);
	proxmox_read_vm(p->s, id, text, fw, p->fw_on, there_is(PVE_RUN, file));
	free(fw);
	free(text);
}

static void proxmox_read(struct snapshot *s)
{
	char *cluster = text_of(PVE_FW, "cluster.fw"), *bridges;
	struct proxmox p = {s, cluster && proxmox_firewall_on(cluster)};

	free(cluster);
	each_file(PVE_VM, ".conf", vm_read, &p);
	bridges = there_is("etc/pve", "") ? text_of("etc/network", "interfaces") : NULL;
	if (bridges)
		proxmox_read_bridges(s, bridges);
	free(bridges);
}

/* ---- the source ---- */

int fact_read_platform(struct snapshot *s, struct err *e)
{
	uint64_t stamp;

	(void)e;
	if (!platform.used)
		return 0;
	platform_files_look(platform.files);
	platform_merge(s, platform_files_facts(platform.files));
	if (strcmp(platform.root, "none") == 0)
		return 0;
	stamp = stamp_now();
	if (!platform.says || stamp != platform.stamp) {
		snapshot_free(platform.says);
		platform.says = snapshot_new();
		platform.stamp = stamp;
		libvirt_read(platform.says);
		proxmox_read(platform.says);
	}
	platform_merge(s, platform.says);
	return 0;
}
