#include "agent/drops_bpf.h"
#include "proto/base/mem.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIBRARY       "libbpf.so.1"
#define TYPES         "/sys/kernel/btf/vmlinux"
#define SUBSYS_SHIFT  16
#define REASON_PREFIX "SKB_DROP_REASON_"
#define SUBSYS_PREFIX "SKB_DROP_REASON_SUBSYS_"

/* The program as the build made it. */
__asm__(".pushsection .rodata\n"
        ".balign 16\n"
        "drops_object: .incbin \"" DROPS_OBJECT "\"\n"
        "drops_object_end: .byte 0\n"
        ".popsection\n");
extern const char drops_object[] __attribute__((visibility("hidden")));
extern const char drops_object_end[] __attribute__((visibility("hidden")));

/* ---- the library ---- */

/* name, result, arguments */
#define LIBRARY_CALLS(CALL)                                                                                                        \
	CALL(libbpf_set_print, libbpf_print_fn_t, (libbpf_print_fn_t))                                                             \
	CALL(bpf_object__open_mem, struct bpf_object *, (const void *, size_t, const struct bpf_object_open_opts *))               \
	CALL(bpf_object__load, int, (struct bpf_object *))                                                                         \
	CALL(bpf_object__close, void, (struct bpf_object *))                                                                       \
	CALL(bpf_object__find_map_by_name, struct bpf_map *, (const struct bpf_object *, const char *))                            \
	CALL(bpf_object__find_program_by_name, struct bpf_program *, (const struct bpf_object *, const char *))                    \
	CALL(bpf_map__fd, int, (const struct bpf_map *))                                                                           \
	CALL(bpf_map__set_initial_value, int, (struct bpf_map *, const void *, size_t))                                            \
	CALL(bpf_map__initial_value, void *, (struct bpf_map *, size_t *))                                                         \
	CALL(bpf_program__attach, struct bpf_link *, (const struct bpf_program *))                                                 \
	CALL(bpf_program__fd, int, (const struct bpf_program *))                                                                   \
	CALL(bpf_obj_get_info_by_fd, int, (int, void *, __u32 *))                                                                  \
	CALL(bpf_link__destroy, int, (struct bpf_link *))                                                                          \
	CALL(ring_buffer__new, struct ring_buffer *, (int, ring_buffer_sample_fn, void *, const struct ring_buffer_opts *))        \
	CALL(ring_buffer__consume, int, (struct ring_buffer *))                                                                    \
	CALL(ring_buffer__epoll_fd, int, (const struct ring_buffer *))                                                             \
	CALL(ring_buffer__free, void, (struct ring_buffer *))                                                                      \
	CALL(btf__load_vmlinux_btf, struct btf *, (void))                                                                          \
	CALL(btf__load_module_btf, struct btf *, (const char *, struct btf *))                                                     \
	CALL(btf__free, void, (struct btf *))                                                                                      \
	CALL(btf__find_by_name, __s32, (const struct btf *, const char *))                                                         \
	CALL(btf__type_by_id, const struct btf_type *, (const struct btf *, __u32))                                                \
	CALL(btf__name_by_offset, const char *, (const struct btf *, __u32))

#define MEMBER(name, result, arguments) result(*name) arguments;
#define SYMBOL(name, result, arguments) {#name, &library.name},

static struct {
	LIBRARY_CALLS(MEMBER)
} library;

static int library_open(struct err *e)
{
	static const struct {
		const char *name;
		void *slot;
	} symbols[] = {LIBRARY_CALLS(SYMBOL)};
	void *so = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (!so)
		return err_set(e, "%s", dlerror());
	for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
		void *symbol = dlsym(so, symbols[i].name);

		if (!symbol)
			return err_set(e, "%s has no %s", LIBRARY, symbols[i].name);
		memcpy(symbols[i].slot, &symbol, sizeof symbol);
	}
	library.libbpf_set_print(NULL);
	return 0;
}

/* ---- the program ---- */

struct drops_bpf {
	struct bpf_object *object;
	struct bpf_link *link;
	struct ring_buffer *ring;
	struct drop_wanted *wanted;
	struct btf *types; /* of the kernel; read with the first reason that wants a name */
	bool types_tried;
	drops_bpf_fn *fn; /* while reading */
	void *arg;
};

static int on_event(void *arg, void *data, size_t size)
{
	struct drops_bpf *b = arg;
	const struct drop_event *event = data;

	if (size >= sizeof *event && event->length <= DROP_SNAP)
		b->fn(b->arg, event);
	return 0;
}

static int refused(struct err *e, const char *what, int error)
{
	errno = error < 0 ? -error : error;
	if (errno == EPERM || errno == EACCES)
		return err_set(e, "%s: not permitted (CAP_BPF and CAP_PERFMON are needed, and a kernel that is not locked down)",
		               what);
	return err_sys(e, "%s", what);
}

static int object_load(struct drops_bpf *b, struct err *e)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "bothways");
	struct bpf_map *map;
	struct stat netns;
	uint32_t *ours;
	size_t size;
	int result;

	b->object = library.bpf_object__open_mem(drops_object, (size_t)(drops_object_end - drops_object), &opts);
	if (!b->object)
		return refused(e, "BPF program", errno);
	map = library.bpf_object__find_map_by_name(b->object, ".rodata");
	ours = map ? library.bpf_map__initial_value(map, &size) : NULL;
	if (!ours || size < sizeof *ours || stat("/proc/thread-self/ns/net", &netns))
		return err_sys(e, "network namespace");
	*ours = (uint32_t)netns.st_ino; /* our_netns is the only variable there, and stands first */
	result = library.bpf_object__load(b->object);
	if (result < 0)
		return refused(e, "BPF program", result);
	return 0;
}

static int object_map(struct drops_bpf *b, struct err *e)
{
	struct bpf_map *wanted = library.bpf_object__find_map_by_name(b->object, ".data.wanted");
	struct bpf_map *ring = library.bpf_object__find_map_by_name(b->object, "bothways_ring");

	if (!wanted || !ring)
		return err_set(e, "BPF program: not all there");
	b->wanted = mmap(NULL, sizeof *b->wanted, PROT_READ | PROT_WRITE, MAP_SHARED, library.bpf_map__fd(wanted), 0);
	if (b->wanted == MAP_FAILED) {
		b->wanted = NULL;
		return err_sys(e, "BPF map");
	}
	b->ring = library.ring_buffer__new(library.bpf_map__fd(ring), on_event, b, NULL);
	return b->ring ? 0 : err_sys(e, "BPF ring");
}

struct drops_bpf *drops_bpf_new(struct err *e)
{
	struct drops_bpf *b;

	if (access(TYPES, R_OK)) {
		err_set(e, "the kernel tells nothing of its types (%s)", TYPES);
		return NULL;
	}
	if (library_open(e))
		return NULL;
	b = mem_alloc(sizeof *b);
	if (object_load(b, e) == 0 && object_map(b, e) == 0)
		return b;
	drops_bpf_free(b);
	return NULL;
}

void drops_bpf_free(struct drops_bpf *b)
{
	if (!b)
		return;
	drops_bpf_detach(b);
	if (b->ring)
		library.ring_buffer__free(b->ring);
	if (b->wanted)
		munmap(b->wanted, sizeof *b->wanted);
	if (b->object)
		library.bpf_object__close(b->object);
	if (b->types)
		library.btf__free(b->types);
	free(b);
}

static struct bpf_program *program_of(struct drops_bpf *b)
{
	return library.bpf_object__find_program_by_name(b->object, "bothways_drops");
}

int drops_bpf_attach(struct drops_bpf *b, struct err *e)
{
	if (!b->link)
		b->link = library.bpf_program__attach(program_of(b));
	return b->link ? 0 : refused(e, "kfree_skb", errno);
}

void drops_bpf_detach(struct drops_bpf *b)
{
	if (b->link)
		library.bpf_link__destroy(b->link);
	b->link = NULL;
}

struct drop_wanted *drops_bpf_wanted(struct drops_bpf *b) { return b->wanted; }

/* The kernel does not start a program again that an interrupt finds at work: what it would have seen then is lost, too. */
uint64_t drops_bpf_lost(struct drops_bpf *b)
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof info;

	if (library.bpf_obj_get_info_by_fd(library.bpf_program__fd(program_of(b)), &info, &size))
		info.recursion_misses = 0;
	return b->wanted->lost + info.recursion_misses;
}

int drops_bpf_fd(struct drops_bpf *b) { return library.ring_buffer__epoll_fd(b->ring); }

void drops_bpf_read(struct drops_bpf *b, drops_bpf_fn *fn, void *arg)
{
	b->fn = fn;
	b->arg = arg;
	library.ring_buffer__consume(b->ring);
}

/* ---- names ---- */

/* The name of a value of an enum, or NULL. */
static const char *value_name(const struct btf *types, const char *name, uint32_t value)
{
	int id = types ? library.btf__find_by_name(types, name) : -1;
	const struct btf_type *t = id > 0 ? library.btf__type_by_id(types, (__u32)id) : NULL;
	const struct btf_enum *values;

	if (!t || BTF_INFO_KIND(t->info) != BTF_KIND_ENUM)
		return NULL;
	values = (const struct btf_enum *)(t + 1);
	for (unsigned i = 0; i < BTF_INFO_VLEN(t->info); i++)
		if ((uint32_t)values[i].val == value)
			return library.btf__name_by_offset(types, values[i].name_off);
	return NULL;
}

/* Reasons of a subsystem stand in an enum of its own, which may be a module's. */
static const struct subsys {
	const char *name, *type, *module;
} subsystems[] = {
    {"OPENVSWITCH", "ovs_drop_reason", "openvswitch"},
    {"MAC80211_UNUSABLE", "mac80211_drop_reason", "mac80211"},
    {"MAC80211_MONITOR", "mac80211_drop_reason", "mac80211"},
};

static void subsys_name(struct drops_bpf *b, uint32_t reason, char *out, size_t size)
{
	const char *subsys = value_name(b->types, "skb_drop_reason_subsys", reason >> SUBSYS_SHIFT), *name = NULL;
	struct btf *module = NULL;

	for (size_t i = 0; subsys && i < sizeof subsystems / sizeof *subsystems; i++) {
		const struct subsys *s = &subsystems[i];

		if (strcmp(subsys + strlen(SUBSYS_PREFIX), s->name) != 0)
			continue;
		name = value_name(b->types, s->type, reason);
		if (!name && (module = library.btf__load_module_btf(s->module, b->types)))
			name = value_name(module, s->type, reason);
		break;
	}
	if (name)
		str_copy(out, size, name);
	else
		snprintf(out, size, "SUBSYS_%u_%u", reason >> SUBSYS_SHIFT, reason & 0xffff);
	if (module)
		library.btf__free(module);
}

void drops_bpf_reason(struct drops_bpf *b, uint32_t reason, char *out, size_t size)
{
	const char *name;

	if (!b->types_tried)
		b->types = library.btf__load_vmlinux_btf();
	b->types_tried = true;
	if (reason >> SUBSYS_SHIFT) {
		subsys_name(b, reason, out, size);
		return;
	}
	name = value_name(b->types, "skb_drop_reason", reason);
	if (!name && reason == 0)
		str_copy(out, size, ""); /* this kernel gives none */
	else if (!name)
		snprintf(out, size, "%u", reason);
	else
		str_copy(out, size, strncmp(name, REASON_PREFIX, strlen(REASON_PREFIX)) == 0 ? name + strlen(REASON_PREFIX) : name);
}

/* ---- rights ---- */

static bool may(const struct __user_cap_data_struct data[2], unsigned capability)
{
	return data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability);
}

bool drops_bpf_possible(char *why, size_t size)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	if (syscall(SYS_capget, &header, data) || !may(data, CAP_BPF) || !may(data, CAP_PERFMON))
		snprintf(why, size, "no kernel drop reasons: CAP_BPF and CAP_PERFMON are missing");
	else if (access(TYPES, R_OK))
		snprintf(why, size, "no kernel drop reasons: the kernel has no " TYPES);
	else
		return true;
	return false;
}
