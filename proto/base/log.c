#include "proto/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static const char *log_program = "bothways";
static enum log_level log_limit = LOG_LEVEL_INFO;

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARN] = "warning",
    [LOG_LEVEL_INFO] = "",
    [LOG_LEVEL_DEBUG] = "debug",
};

void log_open(const char *program, enum log_level level)
{
	log_program = program;
	log_limit = level;
}

/* A line is one line, whatever a peer or a file put into it. */
static void line_flatten(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
}

static void log_line(enum log_level level, const char *fmt, va_list ap)
{
	char line[LINE_MAX_BYTES];
	int head, len;

	if (level > log_limit)
		return;
	head = snprintf(line, sizeof line, "%s: %s%s", log_program, level_names[level], *level_names[level] ? ": " : "");
	if (head < 0 || head >= (int)sizeof line - 2)
		return;
	vsnprintf(line + head, sizeof line - 1 - (size_t)head, fmt, ap);
	line_flatten(line);
	len = (int)strlen(line);
	line[len++] = '\n';
	/* one write: lines of several processes on one terminal or journal stay whole */
	if (write(STDERR_FILENO, line, (size_t)len) < 0)
		return;
}

#define LOG_FUNCTION(name, level)                                                                                                  \
	void name(const char *fmt, ...)                                                                                            \
	{                                                                                                                          \
		va_list ap;                                                                                                        \
		va_start(ap, fmt);                                                                                                 \
		log_line(level, fmt, ap);                                                                                          \
		va_end(ap);                                                                                                        \
	}

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)
