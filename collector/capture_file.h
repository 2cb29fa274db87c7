/* capture_file: PURE. A round with kept frames as one pcapng file: an interface per point, named as in the verdict, every frame
 * with a comment that says which probe it is, the verdict and what is known of the machines' clocks in the section's comments.
 * Every time stamp is the wall clock of the machine that saw the frame; nothing is shifted. */
#ifndef BW_COLLECTOR_CAPTURE_FILE_H
#define BW_COLLECTOR_CAPTURE_FILE_H

#include "proto/base/mem.h"
#include "proto/model/dossier.h"

#define CAPTURE_POINTS_MAX (ROUND_POINTS_MAX * 4)

struct captured_point {
	char name[POINT_NAME_MAX];
	bool looked;
	char why[REASON_MAX_LEN]; /* not looked: the reason */
	uint32_t frames, dropped;
};

struct capture_summary {
	size_t point_count;
	struct captured_point points[CAPTURE_POINTS_MAX]; /* in the order of the file's interfaces */
	uint32_t frames, left_out;                        /* left out: an agent keeps a bounded number */
};

/* `tenant`: only points on that tenant's own guests; NULL = all. */
void capture_file(const struct dossier *d, const struct verdict *v, const char *tenant, struct buf *out,
                  struct capture_summary *sum);

/* By how much the wall clock of a party is ahead of a's, from frames that both saw, in both directions. False: not known. */
struct clock_offset {
	int64_t ns, uncertain_ns;
	unsigned pairs;
};
bool capture_clock(const struct dossier *d, int party, struct clock_offset *out);

#endif
