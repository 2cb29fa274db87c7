#include "collector/feedback.h"

#include "proto/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEP_LEFT 0.75 /* what is left to the limit after each */

struct tally {
	const char *cause; /* lent from the items */
	int balance;
};

struct feedback {
	struct stored_feedback *items;
	size_t count, cap;
	struct shift shifts[RECORD_SHIFTS_MAX];
	size_t shift_count;
};

int32_t feedback_shift(int balance)
{
	double share = 1 - pow(STEP_LEFT, abs(balance));
	return (int32_t)lround(copysign(CATALOGUE_SHIFT_MAX * 1000 * share, balance));
}

static void tally_add(struct tally *list, size_t *count, const char *cause, int by)
{
	size_t i = 0;
	while (i < *count && strcmp(list[i].cause, cause) != 0)
		i++;
	if (!cause[0] || i == RECORD_SHIFTS_MAX)
		return;
	if (i == *count)
		list[(*count)++] = (struct tally){.cause = cause};
	list[i].balance += by;
}

static void shifts_make(struct feedback *f)
{
	struct tally list[RECORD_SHIFTS_MAX];
	size_t count = 0;
	for (size_t i = 0; i < f->count; i++) {
		const struct stored_feedback *item = &f->items[i];
		if (item->undone)
			continue;
		tally_add(list, &count, item->said, item->right ? 1 : -1);
		if (!item->right)
			tally_add(list, &count, item->real, 1);
	}
	f->shift_count = 0;
	for (size_t i = 0; i < count; i++) {
		struct shift *s = &f->shifts[f->shift_count];
		if (list[i].balance == 0 || str_copy(s->cause, sizeof s->cause, list[i].cause))
			continue;
		s->milli = feedback_shift(list[i].balance);
		f->shift_count++;
	}
}

static void shifts_apply(const struct feedback *f, struct catalogue *c)
{
	struct catalogue_entry e;
	for (size_t i = 0; catalogue_get(c, i, &e); i++)
		catalogue_shift(c, e.id, 0);
	for (size_t i = 0; i < f->shift_count; i++)
		catalogue_shift(c, f->shifts[i].cause, f->shifts[i].milli / 1000.0);
}

static void take(void *arg, const struct stored_feedback *item)
{
	struct feedback *f = arg;
	*VEC_ADD(f->items, f->count, f->cap) = *item;
}

int feedback_load(struct feedback *f, struct store *s, struct catalogue *c, struct err *e)
{
	struct feedback fresh = {0};
	if (store_feedback(s, take, &fresh, e)) {
		free(fresh.items);
		return -1;
	}
	free(f->items);
	*f = fresh;
	shifts_make(f);
	shifts_apply(f, c);
	return 0;
}

size_t feedback_count(const struct feedback *f) { return f->count; }
const struct stored_feedback *feedback_at(const struct feedback *f, size_t i) { return &f->items[i]; }

size_t feedback_shifts(const struct feedback *f, const struct shift **out)
{
	*out = f->shifts;
	return f->shift_count;
}

struct feedback *feedback_new(void) { return mem_alloc(sizeof(struct feedback)); }

void feedback_free(struct feedback *f)
{
	if (f)
		free(f->items);
	free(f);
}
