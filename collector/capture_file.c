#include "collector/capture_file.h"
#include "collector/pcapng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMENTS_MAX (8 + 2 * CUTS_MAX + PARTIES_MAX)

/* A frame with the interface it stands at in the file. */
struct placed {
	const struct frame_kept *frame;
	uint32_t interface;
	size_t order; /* of frames at one time: as they were told */
};

struct file {
	const struct dossier *d;
	const struct verdict *v;
	const char *tenant; /* NULL = all */
	struct buf *out;
	struct capture_summary *sum;
	size_t points[CAPTURE_POINTS_MAX]; /* interface -> index into d->points */
	struct placed *frames;
	size_t frame_count, frame_cap;
};

/* ---- names: a tenant is not told that somebody else uses one, too ---- */

static const char *title(const struct file *f, const char *name)
{
	const char *const prefixes[] = {f->tenant, "fleet"};

	for (size_t i = 0; f->tenant && i < 2; i++) {
		size_t len = strlen(prefixes[i]);

		if (strncmp(name, prefixes[i], len) == 0 && name[len] == '/')
			return name + len + 1;
	}
	return name;
}

static bool is_visible(const struct file *f, int party) { return !f->tenant || strcmp(f->d->party[party].tenant, f->tenant) == 0; }

static const char *role_text(uint8_t role)
{
	static const char *const texts[] = {[POINT_SOCKET] = "socket",
	                                    [POINT_NIC] = "network interface",
	                                    [POINT_PORT] = "port of a guest",
	                                    [POINT_UPLINK] = "uplink",
	                                    [POINT_BRIDGE] = "bridge"};

	return role < sizeof texts / sizeof *texts && texts[role] ? texts[role] : "on the path";
}

/* ---- points ---- */

static const struct point_status *status_of(const struct file *f, size_t point)
{
	const struct round_result *r = f->d->party[f->d->points[point].party].result;

	for (size_t i = 0; r && i < r->status_count; i++)
		if (r->status[i].point == f->d->points[point].id)
			return &r->status[i];
	return NULL;
}

static void point_add(struct file *f, size_t point)
{
	struct captured_point *p = &f->sum->points[f->sum->point_count];
	const struct point_status *s = status_of(f, point);
	int party = f->d->points[point].party;

	for (size_t i = 0; i < f->sum->point_count; i++)
		if (f->points[i] == point)
			return;
	if (f->sum->point_count == CAPTURE_POINTS_MAX || !is_visible(f, party))
		return;
	f->points[f->sum->point_count++] = point;
	snprintf(p->name, sizeof p->name, "%s:%s", title(f, f->d->party[party].name), f->d->points[point].ifname);
	p->looked = s && s->armed;
	p->dropped = s ? s->dropped : 0;
	if (!p->looked)
		str_copy(p->why, sizeof p->why, !s ? "its agent did not report" : s->why[0] ? s->why : "not armed");
}

/* In the order of the path there, then what lies only on the way back. */
static void points_order(struct file *f)
{
	for (int dir = 0; dir < 2; dir++)
		for (size_t i = 0; i < f->d->path_count[dir]; i++)
			if (f->d->path[dir][i] >= 0)
				point_add(f, (size_t)f->d->path[dir][i]);
	for (size_t i = 0; i < f->d->point_count; i++)
		point_add(f, i);
}

/* -1: not in the file. */
static int interface_of(const struct file *f, int party, uint8_t id)
{
	for (size_t i = 0; i < f->sum->point_count; i++)
		if (f->d->points[f->points[i]].id == id && f->d->points[f->points[i]].party == party)
			return (int)i;
	return -1;
}

/* ---- frames ---- */

static void frames_of(struct file *f, int party)
{
	const struct round_result *r = f->d->party[party].result;

	if (!r || !is_visible(f, party))
		return;
	f->sum->left_out += r->frames_left_out;
	for (size_t i = 0; i < r->frames_count; i++) {
		int interface = interface_of(f, party, r->frames[i].point);

		if (interface < 0)
			continue;
		*VEC_ADD(f->frames, f->frame_count, f->frame_cap) =
		    (struct placed){&r->frames[i], (uint32_t)interface, f->frame_count};
		f->sum->points[interface].frames++;
		f->sum->frames++;
	}
}

static int compare_placed(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;

	if (x->frame->at.ns != y->frame->at.ns)
		return x->frame->at.ns < y->frame->at.ns ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static const struct flow *flow_of(const struct dossier *d, uint8_t id)
{
	for (size_t i = 0; i < d->flow_count; i++)
		if (d->flows[i].id == id)
			return &d->flows[i];
	return NULL;
}

static char *frame_comment(const struct file *f, const struct frame_kept *k)
{
	static const char *const parts[] = {
	    [PART_PROBE] = "probe", [PART_ANSWER] = "answer", [PART_REFUSAL] = "refusal (reset or ICMP error)"};
	const struct flow *flow = flow_of(f->d, k->flow);

	if (!flow || k->part > PART_REFUSAL)
		return NULL;
	char step[48] = "";
	if (flow->ladder && k->seq < LADDER_COUNT)
		snprintf(step, sizeof step, " of the size ladder (%d bytes)", ladder_sizes[k->seq]);
	else if (flow_is_aside(flow))
		snprintf(step, sizeof step, " of the stage %s", stage_name((enum stage)flow->stage));
	return mem_printf("%s %s->%s seq %d%s: %s", kind_info((enum kind)flow->kind)->name, title(f, f->v->dir[flow->dir].from),
	                  title(f, f->v->dir[flow->dir].to), k->seq, step, parts[k->part]);
}

static void frames_write(struct file *f)
{
	static const enum pcapng_way ways[] = {
	    [FRAME_WAY_UNKNOWN] = PCAPNG_WAY_UNKNOWN, [FRAME_IN] = PCAPNG_IN, [FRAME_OUT] = PCAPNG_OUT};

	for (int i = 0; i < (int)f->d->party_count; i++)
		frames_of(f, i);
	if (f->frame_count)
		qsort(f->frames, f->frame_count, sizeof *f->frames, compare_placed);
	for (size_t i = 0; i < f->frame_count; i++) {
		const struct frame_kept *k = f->frames[i].frame;
		char *comment = frame_comment(f, k);
		struct pcapng_packet p = {.interface = f->frames[i].interface,
		                          .at = k->at,
		                          .bytes = k->bytes,
		                          .kept = k->kept,
		                          .length = k->length > k->kept ? k->length : k->kept,
		                          .way = k->way <= FRAME_OUT ? ways[k->way] : PCAPNG_WAY_UNKNOWN,
		                          .comment = comment};
		pcapng_packet(f->out, &p);
		free(comment);
	}
}

/* ---- clocks ---- */

/* When a party saw each packet first. */
struct first_seen {
	int64_t ns[ROUND_FLOWS_MAX][FLOW_PROBES_MAX][2]; /* probe, answer; 0 = not */
};

static bool tells_time(const struct dossier *d, const struct frame_kept *k)
{
	const struct flow *flow = flow_of(d, k->flow);

	return flow && k->part < PART_REFUSAL && k->flow < ROUND_FLOWS_MAX && k->seq < FLOW_PROBES_MAX &&
	       kind_info((enum kind)flow->kind)->proto != PROTO_NEIGH; /* whose answers do not say what they answer */
}

static struct first_seen *first_seen_by(const struct dossier *d, int party)
{
	const struct round_result *r = d->party[party].result;
	struct first_seen *s = r && r->frames_count ? mem_alloc(sizeof *s) : NULL;

	for (size_t i = 0; s && i < r->frames_count; i++) {
		const struct frame_kept *k = &r->frames[i];
		int64_t *at = tells_time(d, k) ? &s->ns[k->flow][k->seq][k->part] : NULL;

		if (at && (*at == 0 || k->at.ns < *at))
			*at = k->at.ns;
	}
	return s;
}

/* The least delay there and back, each with the difference of the clocks in it, once added and once taken away. */
static unsigned least_delays(const struct dossier *d, const struct first_seen *a, const struct first_seen *p, int64_t least[2])
{
	unsigned count[2] = {0};

	for (size_t i = 0; i < d->flow_count; i++) {
		const struct flow *flow = &d->flows[i];

		for (int n = 0; flow->id < ROUND_FLOWS_MAX && n < 2 * FLOW_PROBES_MAX; n++) {
			int64_t at_a = a->ns[flow->id][n / 2][n % 2], at_p = p->ns[flow->id][n / 2][n % 2];
			bool away = (flow->dir == 0) == (n % 2 == PART_PROBE);
			int64_t delay = away ? at_p - at_a : at_a - at_p;

			if (at_a && at_p && (count[away]++ == 0 || delay < least[away]))
				least[away] = delay;
		}
	}
	return count[0] < count[1] ? count[0] : count[1];
}

bool capture_clock(const struct dossier *d, int party, struct clock_offset *out)
{
	struct first_seen *a = first_seen_by(d, PARTY_A), *p = first_seen_by(d, party);
	int64_t least[2] = {0};

	*out = (struct clock_offset){.pairs = a && p ? least_delays(d, a, p, least) : 0};
	out->ns = (least[1] - least[0]) / 2;
	out->uncertain_ns = (least[1] + least[0]) / 2;
	free(a);
	free(p);
	return out->pairs > 0 && out->uncertain_ns >= 0;
}

static char *clock_comment(const struct file *f, int party)
{
	const char *name = title(f, f->d->party[party].name), *a = title(f, f->d->party[PARTY_A].name);
	struct clock_offset c;

	if (party == PARTY_A)
		return mem_printf(
		    "Time stamps are each machine's own wall clock; nothing is shifted. Clocks are compared with %s's", a);
	if (!capture_clock(f->d, party, &c))
		return mem_printf("Clock of %s: not known how it compares with %s's", name, a);
	return mem_printf("Clock of %s: %.3f ms %s %s's, give or take %.3f ms (from %u packets each way)", name,
	                  (double)llabs(c.ns) / 1e6, c.ns < 0 ? "behind" : "ahead of", a, (double)c.uncertain_ns / 1e6, c.pairs);
}

/* ---- the section ---- */

struct comments {
	char *items[COMMENTS_MAX];
	size_t count;
};

static void comment_take(struct comments *c, char *text)
{
	if (c->count < COMMENTS_MAX)
		c->items[c->count++] = text;
	else
		free(text);
}

static char *sentence(const struct file *f)
{
	if (f->tenant || !f->v->sentence) /* it may name what is not theirs */
		return mem_printf("%s and %s: %s", title(f, f->v->a), title(f, f->v->b), state_name(f->v->state));
	return mem_strdup(f->v->sentence);
}

static void cuts_comment(const struct file *f, int dir, struct comments *c)
{
	const struct direction *dn = &f->v->dir[dir];

	for (size_t i = 0; i < dn->cut_count; i++) {
		const struct cut *cut = &dn->cuts[i];
		char kinds[KINDS_TEXT_MAX], after[POINT_NAME_MAX], before[POINT_NAME_MAX];
		const char *reason = f->tenant ? "" : cut->drop_reason;

		kinds_text(cut->kinds, kinds, sizeof kinds);
		path_point_name(&dn->path[cut->after], after);
		path_point_name(&dn->path[cut->before], before);
		comment_take(c, mem_printf("Cut %s->%s: %s%s %slost between %s and %s%s%s", title(f, dn->from), title(f, dn->to),
		                           cut->answer ? "answers to " : "", kinds, cut->partial ? "partly " : "", title(f, after),
		                           title(f, before), *reason ? ", kernel: " : "", reason));
	}
}

static void comments_fill(const struct file *f, struct comments *c)
{
	const struct cause *cause = f->v->cause_count ? &f->v->causes[0] : NULL;

	comment_take(c, sentence(f));
	if (cause)
		comment_take(c, mem_printf("Cause: %s at %s, %.0f %% sure", cause->id, cause->where ? title(f, cause->where) : "?",
		                           100 * cause->confidence));
	cuts_comment(f, 0, c);
	cuts_comment(f, 1, c);
	for (int i = 0; i < (int)f->d->party_count; i++)
		if (i == PARTY_A || (is_visible(f, i) && f->d->party[i].result && f->d->party[i].result->frames_count))
			comment_take(c, clock_comment(f, i));
	if (f->sum->left_out)
		comment_take(c, mem_printf("%u frames are left out: an agent keeps at most %d of one round, and %d KiB of them",
		                           f->sum->left_out, FRAMES_MAX, FRAMES_KEEP_MAX / 1024));
}

/* What a's machine says it is. */
static const char *hardware(const struct file *f)
{
	const struct snapshot *s = f->d->party[PARTY_A].before;

	return s && s->platform[0] && is_visible(f, PARTY_A) ? s->platform : NULL;
}

static void section_write(const struct file *f, struct buf *out)
{
	struct comments c = {.count = 0};

	comments_fill(f, &c);
	pcapng_section(out, &(struct pcapng_section){.hardware = hardware(f),
	                                             .os = "Linux",
	                                             .application = "bothways " BOTHWAYS_VERSION,
	                                             .comment_count = c.count,
	                                             .comments = (const char *const *)c.items});
	for (size_t i = 0; i < c.count; i++)
		free(c.items[i]);
}

/* ---- interfaces ---- */

static void interface_write(const struct file *f, size_t i, struct buf *out)
{
	const struct captured_point *p = &f->sum->points[i];
	const struct party *party = &f->d->party[f->d->points[f->points[i]].party];
	const struct snapshot *s = party->before;
	char *description = mem_printf("%s of %s %s", role_text(f->d->points[f->points[i]].role),
	                               party->kind == AGENT_HOST ? "host" : "guest", title(f, party->name)),
	     *comment = p->looked ? NULL : mem_printf("Nobody looked here: %s", p->why);

	pcapng_interface(out, &(struct pcapng_interface){.name = p->name,
	                                                 .description = description,
	                                                 .os = s && s->kernel[0] ? s->kernel : NULL,
	                                                 .comment = comment,
	                                                 .snap_len = FRAME_KEEP_MAX});
	free(description);
	free(comment);
}

static void statistics_write(const struct file *f)
{
	for (size_t i = 0; i < f->sum->point_count; i++)
		if (f->sum->points[i].looked)
			pcapng_statistics(f->out, &(struct pcapng_statistics){.interface = (uint32_t)i,
			                                                      .at = f->v->at,
			                                                      .received = f->sum->points[i].frames,
			                                                      .dropped = f->sum->points[i].dropped});
}

void capture_file(const struct dossier *d, const struct verdict *v, const char *tenant, struct buf *out,
                  struct capture_summary *sum)
{
	struct buf frames = {0};
	struct file *f = mem_alloc(sizeof *f);

	*sum = (struct capture_summary){0};
	*f = (struct file){.d = d, .v = v, .tenant = tenant, .out = &frames, .sum = sum};
	points_order(f);
	frames_write(f); /* counts what the blocks before them tell */
	statistics_write(f);
	section_write(f, out);
	for (size_t i = 0; i < sum->point_count; i++)
		interface_write(f, i, out);
	if (frames.len)
		buf_add(out, frames.data, frames.len);
	buf_free(&frames);
	free(f->frames);
	free(f);
}
