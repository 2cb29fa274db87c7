#include "proto/base/mono.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_S 1000000000LL

static int64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

struct mono mono_now(void) { return (struct mono){clock_ns(CLOCK_MONOTONIC)}; }

struct wall wall_now(void) { return (struct wall){clock_ns(CLOCK_REALTIME)}; }

const char *wall_format(struct wall t, char out[static WALL_TEXT_MAX])
{
	int64_t s = t.ns / NS_PER_S, ns = t.ns % NS_PER_S;
	struct tm tm;
	time_t tt;

	if (ns < 0) {
		ns += NS_PER_S;
		s--;
	}
	tt = (time_t)s;
	if (!gmtime_r(&tt, &tm))
		memset(&tm, 0, sizeof tm);
	snprintf(out, WALL_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (tm.tm_year + 1900) % 10000, tm.tm_mon + 1, tm.tm_mday,
	         tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ns / 1000000));
	return out;
}

/* ".123" -> nanoseconds; digits beyond the ninth are ignored. Returns the first character behind, NULL if malformed. */
static const char *fraction_parse(const char *p, int64_t *ns)
{
	int64_t unit = NS_PER_S / 10;

	*ns = 0;
	if (*p != '.')
		return p;
	if (p[1] < '0' || p[1] > '9')
		return NULL;
	for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
		*ns += (*p - '0') * unit;
	return p;
}

static bool date_valid(const struct tm *tm)
{
	return tm->tm_year >= 0 && tm->tm_year <= 8000 && tm->tm_mon >= 0 && tm->tm_mon < 12 && tm->tm_mday >= 1 &&
	       tm->tm_mday <= 31 && tm->tm_hour >= 0 && tm->tm_hour < 24 && tm->tm_min >= 0 && tm->tm_min < 60 && tm->tm_sec >= 0 &&
	       tm->tm_sec <= 60;
}

int wall_parse(const char *text, struct wall *out)
{
	struct tm tm = {0};
	int64_t ns, s;
	int used = 0;
	const char *p;

	if (sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
	           &tm.tm_sec, &used) != 6)
		return -1;
	p = fraction_parse(text + used, &ns);
	if (!p || (strcmp(p, "Z") != 0 && strcmp(p, "z") != 0 && strcmp(p, "+00:00") != 0))
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	if (!date_valid(&tm))
		return -1;
	s = timegm(&tm);
	if (s > INT64_MAX / NS_PER_S - 1)
		return -1;
	out->ns = s * NS_PER_S + ns;
	return 0;
}
