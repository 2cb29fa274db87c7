/* machine: what machine this is (hardware, hypervisor, clock), and how busy it is. */
#include "agent/facts/source.h"
#include "proto/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#if defined __x86_64__ || defined __i386__
#include <cpuid.h>
#endif

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define DMI      "/sys/class/dmi/id/"

void snapshot_add_text(struct snapshot *s, const char *name, const char *text)
{
	struct text *t = text[0] ? SNAP_ADD(s, texts, text_count, SNAP_TEXTS_MAX) : NULL;

	if (!t)
		return;
	str_copy(t->name, sizeof t->name, name);
	str_copy(t->text, sizeof t->text, text);
}

/* The first line, without blanks at its end; "" if there is none. */
static void line_read(const char *path, char *out, size_t size)
{
	size_t len;

	if (proc_file_read(path, out, size) < 0)
		out[0] = '\0';
	len = strcspn(out, "\n");
	while (len > 0 && out[len - 1] == ' ')
		len--;
	out[len] = '\0';
}

/* ---- hypervisor ---- */

struct sign {
	const char *sign, *name;
};

static const char *sign_find(const struct sign *signs, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++)
		if (strncmp(text, signs[i].sign, strlen(signs[i].sign)) == 0)
			return signs[i].name;
	return "";
}

/* The processor's own word, twelve letters. */
const char *hypervisor_by_cpu(const char *sign)
{
	static const struct sign signs[] = {
	    {"KVMKVMKVM", "kvm"},         {"Linux KVM Hv", "kvm"},      {"TCGTCGTCGTCG", "qemu"},       {"VMwareVMware", "vmware"},
	    {"Microsoft Hv", "hyper-v"},  {"XenVMMXenVMM", "xen"},      {"VBoxVBoxVBox", "virtualbox"}, {"bhyve bhyve", "bhyve"},
	    {" prl hyperv", "parallels"}, {" lrpepyh vr", "parallels"}, {"ACRNACRNACRN", "acrn"},
	};

	return sign_find(signs, COUNT(signs), sign);
}

/* Where the processor does not tell (not x86, or hidden): who made the "hardware". */
const char *hypervisor_by_vendor(const char *vendor)
{
	static const struct sign signs[] = {
	    {"QEMU", "qemu"},          {"KVM", "kvm"},        {"VMware", "vmware"},
	    {"innotek", "virtualbox"}, {"Xen", "xen"},        {"Parallels", "parallels"},
	    {"BHYVE", "bhyve"},        {"Amazon EC2", "kvm"}, {"Google", "kvm"},
	    {"Alibaba Cloud", "kvm"},  {"OpenStack", "kvm"},
	};

	return sign_find(signs, COUNT(signs), vendor);
}

/* "" on bare metal, or where nothing tells. */
static const char *cpu_sign(void)
{
	static char sign[13];
#if defined __x86_64__ || defined __i386__
	unsigned a, b, c, d;

	if (sign[0] || !__get_cpuid(1, &a, &b, &c, &d) || !(c >> 31 & 1))
		return sign;
	__cpuid(0x40000000, a, b, c, d);
	memcpy(sign, (unsigned[]){b, c, d}, 12);
#endif
	return sign;
}

static void hypervisor_read(struct snapshot *s, const char *vendor)
{
	const char *name = hypervisor_by_cpu(cpu_sign());
	char type[32];

	if (!name[0]) {
		line_read("/sys/hypervisor/type", type, sizeof type);
		name = type[0] ? type : hypervisor_by_vendor(vendor);
	}
	snapshot_add_text(s, "hardware.hypervisor", name);
}

/* ---- identity ---- */

/* Machines that were cloned without care have the same. The identifier itself is nobody's business (machine-id(5)): a digest of it
 * tells as much (FNV-1a, of 64 bits). */
static void identity_read(struct snapshot *s)
{
	char id[64], text[20];
	uint64_t h = 0xcbf29ce484222325u;

	line_read("/etc/machine-id", id, sizeof id);
	for (const char *c = id; *c; c++)
		h = (h ^ (unsigned char)*c) * 0x100000001b3u;
	snprintf(text, sizeof text, "%016" PRIx64, h);
	if (strlen(id) >= 32)
		snapshot_add_text(s, "machine.id", text);
}

/* ---- hardware and clock ---- */

static void hardware_read(struct snapshot *s)
{
	char vendor[64], product[64], text[64], bios[96];

	line_read(DMI "sys_vendor", vendor, sizeof vendor);
	line_read(DMI "product_name", product, sizeof product);
	line_read(DMI "bios_version", text, sizeof text);
	snprintf(bios, sizeof bios, "%s", text);
	line_read(DMI "bios_vendor", text, sizeof text);
	if (text[0] && bios[0])
		snprintf(bios + strlen(bios), sizeof bios - strlen(bios), " (%.*s)", 24, text);
	snapshot_add_text(s, "hardware.vendor", vendor);
	snapshot_add_text(s, "hardware.product", product);
	snapshot_add_text(s, "hardware.bios", bios);
	hypervisor_read(s, vendor);
	snprintf(s->platform, sizeof s->platform, "%.31s%s%.31s", vendor, vendor[0] && product[0] ? " " : "", product);
}

static void clock_read(struct snapshot *s)
{
	struct timex t = {0};
	char source[32];

	line_read("/sys/devices/system/clocksource/clocksource0/current_clocksource", source, sizeof source);
	snapshot_add_text(s, "clock.source", source);
	if (adjtimex(&t) >= 0)
		snapshot_add_text(s, "clock.synchronized", t.status & STA_UNSYNC ? "no" : "yes");
}

int fact_read_machine(struct snapshot *s, struct err *e)
{
	struct utsname u;

	(void)e;
	if (uname(&u) == 0) {
		str_copy(s->hostname, sizeof s->hostname, u.nodename);
		str_copy(s->kernel, sizeof s->kernel, u.release);
	}
	identity_read(s);
	hardware_read(s);
	clock_read(s);
	return 0;
}

/* ---- how busy ---- */

/* "12.34" in hundredths. */
static bool hundredths(const char *text, int64_t *out)
{
	char *end;
	double v = strtod(text, &end);

	*out = (int64_t)(v * 100 + 0.5);
	return end != text && v >= 0 && v < 1e9;
}

void proc_parse_cpu(struct snapshot *s, const char *text)
{
	int64_t v[8] = {0}, total = 0; /* user nice system idle iowait irq softirq steal; guests' time is in user and nice */
	int n = 0;
	char *at, *end;

	if (strncmp(text, "cpu ", 4) != 0)
		return;
	for (at = (char *)(uintptr_t)text + 4; n < 8; n++, at = end) {
		v[n] = strtoll(at, &end, 10);
		if (end == at)
			break;
		total += v[n];
	}
	if (n < 8)
		return;
	snapshot_add_counter(s, "cpu.total", total);
	snapshot_add_counter(s, "cpu.idle", v[3]);
	snapshot_add_counter(s, "cpu.steal", v[7]);
}

void proc_parse_load(struct snapshot *s, const char *text)
{
	int64_t v;

	if (hundredths(text, &v))
		snapshot_add_counter(s, "cpu.load1", v);
}

void proc_parse_pressure(struct snapshot *s, const char *name, const char *text)
{
	static const char mark[] = "some avg10=";
	int64_t v;

	if (strncmp(text, mark, sizeof mark - 1) == 0 && hundredths(text + sizeof mark - 1, &v))
		snapshot_add_counter(s, name, v);
}

int fact_read_load(struct snapshot *s, struct err *e)
{
	static const char *const pressures[][2] = {{"pressure.cpu", "/proc/pressure/cpu"},
	                                           {"pressure.memory", "/proc/pressure/memory"},
	                                           {"pressure.io", "/proc/pressure/io"}};
	char text[256];

	(void)e;
	if (proc_file_read("/proc/stat", text, sizeof text) > 0)
		proc_parse_cpu(s, text);
	snapshot_add_counter(s, "cpu.count", sysconf(_SC_NPROCESSORS_ONLN));
	if (proc_file_read("/proc/loadavg", text, sizeof text) > 0)
		proc_parse_load(s, text);
	for (size_t i = 0; i < COUNT(pressures); i++)
		if (proc_file_read(pressures[i][1], text, sizeof text) > 0)
			proc_parse_pressure(s, pressures[i][0], text);
	return 0;
}
