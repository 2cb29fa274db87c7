/* feedback: what people said of verdicts, and what it makes of the causes' priors in this fleet. A cause that was said to be right
 * more often than wrong gains, one that was wrong more often loses, each further time less, and never more than
 * CATALOGUE_SHIFT_MAX. The order does not matter, so that taking one back leaves what had been without it. */
#ifndef BW_COLLECTOR_FEEDBACK_H
#define BW_COLLECTOR_FEEDBACK_H

#include "collector/diagnose/diagnose.h"
#include "collector/store.h"
#include "proto/record.h"

struct feedback;

struct feedback *feedback_new(void);
void feedback_free(struct feedback *f); /* NULL is fine */
/* Everything anew from the store, and into the catalogue. -1: the store cannot be read; what was there stays. */
int feedback_load(struct feedback *f, struct store *s, struct catalogue *c, struct err *e);
size_t feedback_count(const struct feedback *f); /* those taken back, too */
const struct stored_feedback *feedback_at(const struct feedback *f, size_t i);
/* The causes whose prior is not what the catalogue says; at most RECORD_SHIFTS_MAX. */
size_t feedback_shifts(const struct feedback *f, const struct shift **out);
/* Thousandths of log-odds for so many more people who called it right than wrong. */
int32_t feedback_shift(int balance);

#endif
