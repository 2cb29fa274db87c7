/* The search: first as a number, then as a phrase that is the question or stands in it, then by likeness. */
#include "collector/cli/codes_priv.h"

#include "proto/base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ANYTHING_MAX 12   /* words that a "*" stands for */
#define NEAR_MAX     5    /* suggestions */
#define NEAR_LEAST   0.55 /* likeness from which one is worth telling */
#define NEAR_SPAN    0.2  /* and how far behind the best one */
#define FUZZY_WORDS  12   /* of the question */
#define WORD_LONG    48   /* letters that are compared by likeness */

typedef uint32_t system_mask; /* bit: index of the system */
_Static_assert(SYSTEMS_MAX <= 32, "system_mask is too narrow");

/* ---- words ---- */

static bool in_word(unsigned char ch) { return isalnum(ch) || ch == '_' || ch >= 0x80; }

static void words_make(struct words *w, const char *text, bool wildcards)
{
	size_t len = strnlen(text, CODES_QUERY_MAX);
	char *out = w->text = mem_alloc(2 * len + 2);
	w->count = 0;
	for (size_t i = 0; i < len && w->count < WORDS_MAX;) {
		size_t end = i;
		while (end < len && in_word((unsigned char)text[end]))
			end++;
		if (end == i && !(wildcards && text[i] == '*')) {
			i++;
			continue;
		}
		end += end == i;
		w->at[w->count] = out;
		bool small = false, underscore = false;
		for (; i < end; i++) {
			small = small || islower((unsigned char)text[i]);
			underscore = underscore || text[i] == '_';
			*out++ = (char)tolower((unsigned char)text[i]);
		}
		*out++ = '\0';
		w->shouted[w->count++] = underscore || !small;
	}
}

static bool is_any(const char *word) { return strcmp(word, "*") == 0; }

/* Where words have no blanks between them, one stands within another. */
static bool same_word(const char *ours, const char *theirs)
{
	return strcmp(ours, theirs) == 0 || ((unsigned char)*ours >= 0x80 && strstr(theirs, ours));
}

static void phrase_add(struct codes *c, const struct code *code, const char *text)
{
	struct phrase *p = VEC_ADD(c->phrases, c->phrase_count, c->phrase_cap);
	p->code = code;
	words_make(&p->words, text, true);
	for (size_t i = 0; i < p->words.count; i++)
		p->weight += !is_any(p->words.at[i]);
}

void phrases_make(struct codes *c)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct code *code = &c->items[i];
		phrase_add(c, code, code->code);
		for (const char *at = code->aliases; *at;) {
			const char *end = strstr(at, " ; ");
			char *one = mem_printf("%.*s", (int)(end ? end - at : (ptrdiff_t)strlen(at)), at);
			phrase_add(c, code, one);
			free(one);
			at = end ? end + 3 : at + strlen(at);
		}
	}
}

void phrases_free(struct codes *c)
{
	for (size_t i = 0; i < c->phrase_count; i++)
		free(c->phrases[i].words.text);
	free(c->phrases);
}

/* ---- what was found ---- */

static void found_add(struct codes_found *f, const struct code *code)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->items[i] == code)
			return;
	if (f->count < CODES_FOUND_MAX)
		f->items[f->count++] = code;
}

/* ---- numbers ---- */

static bool number_of(const char *text, int64_t *out)
{
	char *end;
	bool hex = strncmp(text, "0x", 2) == 0 || strncmp(text, "0X", 2) == 0;
	errno = 0;
	*out = strtoll(text, &end, hex ? 16 : 10);
	return end != text && !*end && !errno;
}

static system_mask systems_named(const struct codes *c, const char *word)
{
	system_mask mask = 0;
	for (size_t i = 0; i < c->system_count; i++) {
		struct words w;
		words_make(&w, c->systems[i].words, false);
		for (size_t k = 0; k < w.count; k++)
			if (strcmp(w.at[k], word) == 0)
				mask |= (system_mask)1 << i;
		free(w.text);
	}
	return mask;
}

static bool in_mask(const struct codes *c, const struct code *code, system_mask mask)
{
	return mask >> (code->system - c->systems) & 1;
}

/* 0x8007nnnn is a Windows error nnnn in a coat. */
static void find_number(const struct codes *c, int64_t value, system_mask mask, struct codes_found *out)
{
	if ((value & ~(int64_t)0xffff) == 0x80070000) {
		mask &= systems_named(c, "windows");
		value &= 0xffff;
	}
	for (size_t i = 0; i < c->count; i++) {
		int64_t own;
		if (number_of(c->items[i].number, &own) && (own == value || own == -value) && in_mask(c, &c->items[i], mask))
			found_add(out, &c->items[i]);
	}
}

/* Type and code of ICMP; -1: of any code. */
static void find_type(const struct codes *c, int64_t type, int64_t code, system_mask mask, struct codes_found *out)
{
	for (size_t i = 0; i < c->count; i++) {
		char *end;
		long own = strtol(c->items[i].code, &end, 10);
		if (end != c->items[i].code && *end == '/' && own == type && (code < 0 || strtol(end + 1, NULL, 10) == code) &&
		    in_mask(c, &c->items[i], mask))
			found_add(out, &c->items[i]);
	}
}

static bool is_noise(const char *word)
{
	static const char *const NOISE[] = {"error", "err", "code", "type", "rc", "status", "id", "reason", "number", "no"};
	for (size_t i = 0; i < sizeof NOISE / sizeof *NOISE; i++)
		if (strcmp(NOISE[i], word) == 0)
			return true;
	return false;
}

/* The question is one or two numbers, perhaps with the name of a system. */
static bool find_numbers(const struct codes *c, const struct words *q, struct codes_found *out)
{
	system_mask mask = ~(system_mask)0;
	int64_t numbers[2];
	size_t count = 0;
	for (size_t i = 0; i < q->count; i++) {
		system_mask named = systems_named(c, q->at[i]);
		if (named & mask)
			mask &= named;
		else if (!is_noise(q->at[i]) && (count == 2 || !number_of(q->at[i], &numbers[count++])))
			return false;
	}
	if (count == 1)
		find_number(c, numbers[0], mask, out);
	if (count == 1 && !out->count && mask != ~(system_mask)0)
		find_type(c, numbers[0], -1, mask, out);
	if (count == 2)
		find_type(c, numbers[0], numbers[1], mask, out);
	return out->count > 0;
}

/* "errno 113" somewhere in a line, "type 3 code 13", 0x80070035, a number as Windows' sockets have them. */
static void find_numbers_within(const struct codes *c, const struct words *q, struct codes_found *out)
{
	int64_t n, code;
	for (size_t i = 0; i < q->count; i++) {
		const char *before = i ? q->at[i - 1] : "";
		if (!number_of(q->at[i], &n))
			continue;
		if (strcmp(before, "type") == 0 && i + 2 < q->count && number_of(q->at[i + 2], &code))
			find_type(c, n, code, ~(system_mask)0, out);
		else if (is_noise(before) || systems_named(c, before))
			find_number(c, n, is_noise(before) ? ~(system_mask)0 : systems_named(c, before), out);
		else if (n >= 0x80000000 || (n > 10000 && n < 12000))
			find_number(c, n, systems_named(c, "windows"), out);
	}
}

/* ---- phrases ---- */

/* Does the phrase from word `i` on match the question from word `k` on? */
static bool stands_at(const struct words *p, size_t i, const struct words *q, size_t k)
{
	for (; i < p->count; i++, k++) {
		if (is_any(p->at[i])) {
			for (size_t skip = 0; skip <= ANYTHING_MAX && k + skip <= q->count; skip++)
				if (stands_at(p, i + 1, q, k + skip))
					return true;
			return false;
		}
		if (k >= q->count || !same_word(p->at[i], q->at[k]))
			return false;
	}
	return true;
}

/* A word alone must stand out of a line of prose, or be all of the question. */
static bool counts_alone(const struct phrase *p, const struct words *q, size_t at)
{
	const char *word = q->at[at];
	return q->count == 1 || (p->words.shouted[0] && q->shouted[at] && strlen(word) >= 3 && !isdigit((unsigned char)*word)) ||
	       (unsigned char)*word >= 0x80;
}

/* "3/13" is for find_numbers: in a line it may be anything. */
static bool is_numeric(const struct phrase *p)
{
	int64_t n;
	for (size_t i = 0; i < p->words.count; i++)
		if (!number_of(p->words.at[i], &n))
			return false;
	return true;
}

static size_t phrase_weight(const struct phrase *p, const struct words *q)
{
	if (is_numeric(p))
		return 0;
	for (size_t k = 0; p->words.count && k < q->count; k++)
		if (stands_at(&p->words, 0, q, k) && (p->weight > 1 || counts_alone(p, q, k)))
			return p->weight;
	return 0;
}

/* The heaviest first; what is less than half as heavy is left out: its words are there by accident. */
static void find_phrases(const struct codes *c, const struct words *q, struct codes_found *out)
{
	size_t *weights = mem_array(c->phrase_count + 1, sizeof *weights), best = 0;
	for (size_t i = 0; i < c->phrase_count; i++) {
		weights[i] = phrase_weight(&c->phrases[i], q);
		best = weights[i] > best ? weights[i] : best;
	}
	for (size_t want = best; want && want * 2 >= best; want--)
		for (size_t i = 0; i < c->phrase_count; i++)
			if (weights[i] == want)
				found_add(out, c->phrases[i].code);
	free(weights);
}

/* Names as other programs write them: with the prefix of the header file. */
static void strip_prefix(struct words *q)
{
	static const char prefix[] = "skb_drop_reason_";
	for (size_t i = 0; i < q->count; i++)
		if (strncmp(q->at[i], prefix, sizeof prefix - 1) == 0)
			q->at[i] += sizeof prefix - 1;
}

/* ---- likeness ---- */

static size_t smallest(size_t a, size_t b, size_t c) { return a < b ? (a < c ? a : c) : (b < c ? b : c); }

/* Letters to change, add, leave out or swap with their neighbour. */
static size_t edits(const char *a, size_t na, const char *b, size_t nb)
{
	size_t rows[3][WORD_LONG + 1];
	for (size_t k = 0; k <= nb; k++)
		rows[0][k] = k;
	for (size_t i = 1; i <= na; i++) {
		size_t *now = rows[i % 3], *last = rows[(i + 2) % 3], *older = rows[(i + 1) % 3];
		now[0] = i;
		for (size_t k = 1; k <= nb; k++) {
			now[k] = smallest(now[k - 1] + 1, last[k] + 1, last[k - 1] + (a[i - 1] != b[k - 1]));
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] && older[k - 2] + 1 < now[k])
				now[k] = older[k - 2] + 1;
		}
	}
	return rows[na % 3][nb];
}

/* 0 to 1: how like each other two words are. */
static double likeness(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b), longer = na > nb ? na : nb, shorter = na > nb ? nb : na;
	if (strcmp(a, b) == 0)
		return 1;
	if (shorter < 3 || longer > WORD_LONG)
		return 0;
	if (shorter >= 4 && strncmp(a, b, shorter) == 0)
		return 0.75 + 0.25 * (double)shorter / (double)longer;
	if (longer - shorter > longer / 3)
		return 0;
	size_t n = edits(a, na, b, nb);
	return n * 3 > longer ? 0 : 1 - (double)n / (double)longer * 1.2;
}

static double best_likeness(const char *word, const struct words *in)
{
	double best = 0;
	for (size_t i = 0; i < in->count; i++) {
		double now = likeness(word, in->at[i]);
		best = now > best ? now : best;
	}
	return best;
}

static bool is_filler(const char *word)
{
	static const char *const FILLERS[] = {"the", "a",   "an",   "of", "to",  "is", "in",  "on",
	                                      "for", "and", "from", "at", "not", "be", "with"};
	for (size_t i = 0; i < sizeof FILLERS / sizeof *FILLERS; i++)
		if (strcmp(FILLERS[i], word) == 0)
			return true;
	return false;
}

/* How much of the question, weighed by the length of its words, is found in the others. */
static double coverage(const struct words *q, const struct words *in)
{
	double sum = 0, all = 0;
	for (size_t i = 0; i < q->count && i < FUZZY_WORDS; i++) {
		if (is_filler(q->at[i]))
			continue;
		all += (double)strlen(q->at[i]);
		sum += (double)strlen(q->at[i]) * best_likeness(q->at[i], in);
	}
	return all > 0 ? sum / all : 0;
}

/* Of two phrases that hold the words of the question the shorter one is meant. */
static double phrase_likeness(const struct words *q, const struct phrase *p)
{
	double own = coverage(q, &p->words), other = coverage(&p->words, q);
	return own * 0.85 + other * 0.15;
}

static double prose_likeness(const struct words *q, const struct code *code)
{
	struct words w;
	words_make(&w, code->meaning[0], false);
	double sum = coverage(q, &w);
	free(w.text);
	return q->count > 1 ? sum * 0.7 : 0;
}

struct near {
	const struct code *code;
	double likeness;
};

static int by_likeness(const void *a, const void *b)
{
	const struct near *x = a, *y = b;
	if (x->likeness == y->likeness)
		return (x->code > y->code) - (x->code < y->code);
	return x->likeness < y->likeness ? 1 : -1;
}

static void find_near(const struct codes *c, const struct words *q, struct codes_found *out)
{
	struct near *all = mem_array(c->count + 1, sizeof *all);
	for (size_t i = 0; i < c->count; i++)
		all[i] = (struct near){&c->items[i], prose_likeness(q, &c->items[i])};
	for (size_t i = 0; i < c->phrase_count; i++) {
		struct near *n = &all[c->phrases[i].code - c->items];
		double now = phrase_likeness(q, &c->phrases[i]);
		n->likeness = now > n->likeness ? now : n->likeness;
	}
	qsort(all, c->count, sizeof *all, by_likeness);
	for (size_t i = 0; i < c->count && i < NEAR_MAX; i++)
		if (all[i].likeness >= NEAR_LEAST && all[i].likeness >= all[0].likeness - NEAR_SPAN)
			found_add(out, all[i].code);
	free(all);
}

/* ---- ---- */

void codes_find(const struct codes *c, const char *query, struct codes_found *out)
{
	struct words q;
	*out = (struct codes_found){.how = CODES_EXACT};
	words_make(&q, query, false);
	strip_prefix(&q);
	if (!find_numbers(c, &q, out)) {
		find_phrases(c, &q, out);
		find_numbers_within(c, &q, out);
	}
	if (!out->count) {
		find_near(c, &q, out);
		out->how = out->count ? CODES_NEAR : CODES_NONE;
	}
	free(q.text);
}
