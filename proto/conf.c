#include "proto/conf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libfyaml.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONF_BYTES_MAX (1 << 20)
#define HELP_COLUMN    32
#define CONF_DEPTH_MAX 32
#define CONF_ITEMS_MAX 4096 /* of one list or map */

/* ---- YAML: libfyaml's events become the tree ---- */

struct build {
	const char *name;
	struct conf_node *root;
	struct conf_node *open[CONF_DEPTH_MAX]; /* lists and maps that are not closed yet */
	size_t depth;
	char *key; /* of the entry that comes next, when the innermost is a map */
	struct err *e;
};

static struct conf_node *node_new(enum conf_type type, int line)
{
	struct conf_node *n = mem_alloc(sizeof *n);

	n->type = type;
	n->line = line;
	return n;
}

void conf_free(struct conf_node *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->count; i++)
		conf_free(n->items[i]);
	free(n->items);
	free(n->key);
	free(n->scalar);
	free(n);
}

static void node_append(struct conf_node *parent, struct conf_node *child)
{
	/* room doubles whenever the count is a power of two */
	if ((parent->count & (parent->count - 1)) == 0)
		parent->items = mem_resize(parent->items, parent->count ? parent->count * 2 : 1, sizeof *parent->items);
	parent->items[parent->count++] = child;
}

static int build_error(struct build *b, int line, const char *what) { return err_set(b->e, "%s:%d: %s", b->name, line, what); }

/* `n` is taken over, also on error. */
static int build_add(struct build *b, struct conf_node *n)
{
	struct conf_node *parent = b->depth ? b->open[b->depth - 1] : NULL;

	if (!parent) {
		conf_free(b->root);
		b->root = n;
		return 0;
	}
	n->key = b->key;
	b->key = NULL;
	if (parent->count == CONF_ITEMS_MAX) {
		build_error(b, n->line, "too many entries");
		conf_free(n);
		return -1;
	}
	if (parent->type == CONF_MAP && conf_get(parent, n->key)) {
		err_set(b->e, "%s:%d: `%s` is given twice", b->name, n->line, n->key);
		conf_free(n);
		return -1;
	}
	node_append(parent, n);
	return 0;
}

static bool key_expected(const struct build *b) { return b->depth && b->open[b->depth - 1]->type == CONF_MAP && !b->key; }

static int build_scalar(struct build *b, struct fy_token *token, int line)
{
	size_t len = 0;
	const char *text = token ? fy_token_get_text(token, &len) : "";
	struct conf_node *n;
	char *copy;

	if (!text || memchr(text, '\0', len))
		return build_error(b, line, "not text");
	copy = mem_array(len + 1, 1);
	memcpy(copy, text, len);
	if (key_expected(b)) {
		b->key = copy;
		return 0;
	}
	n = node_new(CONF_SCALAR, line);
	n->scalar = copy;
	return build_add(b, n);
}

static int build_open(struct build *b, enum conf_type type, int line)
{
	struct conf_node *n;

	if (key_expected(b))
		return build_error(b, line, "a key must be plain text");
	if (b->depth == CONF_DEPTH_MAX)
		return build_error(b, line, "nested too deeply");
	n = node_new(type, line);
	if (build_add(b, n) < 0)
		return -1;
	b->open[b->depth++] = n;
	return 0;
}

static int build_event(struct build *b, struct fy_event *ev)
{
	const struct fy_mark *mark = fy_event_start_mark(ev);
	int line = mark ? mark->line + 1 : 1;

	switch (ev->type) {
	case FYET_SCALAR: return build_scalar(b, ev->scalar.value, line);
	case FYET_MAPPING_START: return build_open(b, CONF_MAP, line);
	case FYET_SEQUENCE_START: return build_open(b, CONF_LIST, line);
	case FYET_MAPPING_END:
	case FYET_SEQUENCE_END: b->depth--; return 0;
	case FYET_ALIAS: return build_error(b, line, "aliases are not supported");
	case FYET_DOCUMENT_START: return b->root ? build_error(b, line, "a second document: only one is expected") : 0;
	default: return 0;
	}
}

static void diag_ignore(struct fy_diag *diag, void *user, const char *text, size_t len)
{
	(void)diag;
	(void)user;
	(void)text;
	(void)len;
}

static int parse_error(const char *name, struct fy_diag *diag, struct err *e)
{
	void *at = NULL;
	struct fy_diag_error *first = fy_diag_errors_iterate(diag, &at);

	if (!first)
		return err_set(e, "%s:1: not valid YAML", name);
	return err_set(e, "%s:%d: %s", name, first->line > 0 ? first->line : 1, first->msg ? first->msg : "not valid YAML");
}

static int events_run(struct build *b, struct fy_parser *parser, struct fy_diag *diag)
{
	struct fy_event *ev;
	int result = 0;

	while (result == 0 && (ev = fy_parser_parse(parser))) {
		result = build_event(b, ev);
		fy_parser_event_free(parser, ev);
	}
	if (result == 0 && fy_parser_get_stream_error(parser))
		result = parse_error(b->name, diag, b->e);
	return result;
}

static int text_parse(struct build *b, const char *text, size_t len)
{
	struct fy_diag_cfg diag_cfg = {.output_fn = diag_ignore, .level = FYET_ERROR, .module_mask = ~0u};
	struct fy_diag *diag = fy_diag_create(&diag_cfg);
	struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_AUTO | FYPCF_JSON_NONE,
	                           .diag = diag};
	struct fy_parser *parser;
	int result;

	fy_diag_set_collect_errors(diag, true);
	parser = fy_parser_create(&cfg);
	if (!parser || fy_parser_set_string(parser, text, len) < 0)
		result = err_set(b->e, "%s:1: cannot be parsed", b->name);
	else
		result = events_run(b, parser, diag);
	fy_parser_destroy(parser);
	fy_diag_destroy(diag);
	return result;
}

static bool is_blank(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isspace((unsigned char)text[i]))
			return false;
	return true;
}

/* Length of the character at `p`; 0 if it is not UTF-8 (RFC 3629) or not allowed in a text file. */
static size_t char_length(const uint8_t *p, size_t left)
{
	size_t len = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : *p >= 0xe0 && *p < 0xf0 ? 3 : *p >= 0xf0 && *p < 0xf5 ? 4 : 0;

	if (len == 1)
		return *p >= ' ' && *p != 0x7f ? 1 : *p == '\n' || *p == '\t' || *p == '\r' ? 1 : 0;
	if (len == 0 || len > left)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* overlong, surrogate or beyond the last */
	if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) ||
	    (*p == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

/* libfyaml loops for ever on some malformed input, above all in directives: it gets plain text only. */
static int text_check(const char *name, const char *text, size_t len, struct err *e)
{
	int line = 1;

	if (len > CONF_BYTES_MAX)
		return err_set(e, "%s: longer than %d bytes", name, CONF_BYTES_MAX);
	for (size_t i = 0, n; i < len; i += n) {
		n = char_length((const uint8_t *)text + i, len - i);
		if (n == 0)
			return err_set(e, "%s:%d: not text", name, line);
		if (text[i] == '%' && (i == 0 || text[i - 1] == '\n' || text[i - 1] == '\r'))
			return err_set(e, "%s:%d: directives are not supported", name, line);
		line += text[i] == '\n';
	}
	return 0;
}

struct conf_node *conf_parse(const char *name, const char *text, size_t len, struct err *e)
{
	struct err own = {""};
	struct build b = {.name = name, .e = e ? e : &own};
	int result = text_check(name, text, len, b.e);

	if (result == 0 && !is_blank(text, len))
		result = text_parse(&b, text, len);
	free(b.key);
	if (result < 0) {
		conf_free(b.root);
		return NULL;
	}
	return b.root ? b.root : node_new(CONF_MAP, 1); /* nothing in it */
}

/* At most one byte more than allowed, so that conf_parse can say that it is too much. */
int conf_slurp(const char *path, struct buf *out, struct err *e)
{
	char chunk[4096];
	ssize_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return err_sys(e, "%s", path);
	while (out->len <= CONF_BYTES_MAX && (n = read(fd, chunk, sizeof chunk)) > 0)
		buf_add(out, chunk, (size_t)n);
	if (n < 0) {
		err_sys(e, "%s", path);
		close(fd);
		return -1;
	}
	close(fd);
	return 0;
}

struct conf_node *conf_read(const char *path, struct err *e)
{
	struct conf_node *n = NULL;
	struct buf text = {0};

	if (conf_slurp(path, &text, e) == 0)
		n = conf_parse(path, text.len ? text.data : "", text.len, e);
	buf_free(&text);
	return n;
}

const struct conf_node *conf_get(const struct conf_node *map, const char *key)
{
	if (!map || map->type != CONF_MAP)
		return NULL;
	for (size_t i = 0; i < map->count; i++)
		if (strcmp(map->items[i]->key, key) == 0)
			return map->items[i];
	return NULL;
}

const char *conf_text(const struct conf_node *map, const char *key)
{
	const struct conf_node *n = conf_get(map, key);

	return n && n->type == CONF_SCALAR ? n->scalar : NULL;
}

/* ---- options ---- */

static const struct option_info *info_find(const struct option_info *table, size_t count, const char *name, size_t len)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0)
			return &table[i];
	return NULL;
}

static void option_add(struct options *o, const struct option_info *info, const char *value)
{
	for (size_t i = 0; i < o->count && !info->many; i++) {
		if (strcmp(o->items[i].name, info->name) == 0) {
			free(o->items[i].value);
			o->items[i].value = mem_strdup(value);
			return;
		}
	}
	mem_grow((void **)&o->items, &o->cap, o->count, sizeof *o->items);
	o->items[o->count].name = info->name;
	o->items[o->count++].value = mem_strdup(value);
}

/* Takes argv[*i] (and its value); *i is left at the last one taken. */
static int argument_take(struct options *o, const struct option_info *table, size_t count, int argc, char **argv, int *i,
                         struct err *e)
{
	bool letter = argv[*i][1] != '-';
	const char *name = argv[*i] + (letter ? 1 : 2), *equals = letter ? NULL : strchr(name, '='), *dashes = letter ? "-" : "--";
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	const struct option_info *info = info_find(table, count, name, len);

	if (!info || letter != !info->name[1])
		return err_set(e, "unknown option %s%.*s (see --help)", dashes, (int)len, name);
	if (!info->value) {
		if (equals)
			return err_set(e, "option %s%s takes no value", dashes, info->name);
		option_add(o, info, "true");
		return 0;
	}
	if (!equals && *i + 1 >= argc)
		return err_set(e, "option %s%s needs a value: %s%s %s", dashes, info->name, dashes, info->name, info->value);
	option_add(o, info, equals ? equals + 1 : argv[++*i]);
	return 0;
}

static int argv_parse(struct options *o, const struct option_info *table, size_t count, int argc, char **argv, struct err *e)
{
	int i;

	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		if (argv[i][0] != '-' || argv[i][1] == '\0')
			break;
		if (argument_take(o, table, count, argc, argv, &i, e) < 0)
			return -1;
	}
	o->first_arg = i;
	return 0;
}

static int flag_take(struct options *o, const struct option_info *info, const char *path, const struct conf_node *n, struct err *e)
{
	const char *text = n->type == CONF_SCALAR ? n->scalar : "";

	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return err_set(e, "%s:%d: `%s` is true or false", path, n->line, info->name);
	if (strcmp(text, "true") == 0)
		option_add(o, info, "true");
	return 0;
}

static int list_take(struct options *o, const struct option_info *info, const char *path, const struct conf_node *n, struct err *e)
{
	for (size_t i = 0; i < n->count; i++) {
		if (n->items[i]->type != CONF_SCALAR)
			return err_set(e, "%s:%d: an entry of `%s` must be plain text", path, n->items[i]->line, info->name);
		option_add(o, info, n->items[i]->scalar);
	}
	return 0;
}

static int entry_take(struct options *o, const struct option_info *info, const char *path, const struct conf_node *n, struct err *e)
{
	if (options_has(o, info->name))
		return 0; /* the command line wins */
	if (!info->value)
		return flag_take(o, info, path, n, e);
	if (n->type == CONF_LIST && info->many)
		return list_take(o, info, path, n, e);
	if (n->type != CONF_SCALAR)
		return err_set(e, "%s:%d: `%s` must be one value", path, n->line, info->name);
	option_add(o, info, n->scalar);
	return 0;
}

static int file_parse(struct options *o, const struct option_info *table, size_t count, const char *path, struct err *e)
{
	struct conf_node *root = conf_read(path, e);
	int result = 0;

	if (!root)
		return -1;
	if (root->type != CONF_MAP)
		result = err_set(e, "%s:%d: `option: value` lines are expected", path, root->line);
	for (size_t i = 0; result == 0 && i < root->count; i++) {
		const struct conf_node *n = root->items[i];
		const struct option_info *info = info_find(table, count, n->key, strlen(n->key));

		if (!info || strcmp(n->key, "config") == 0)
			result = err_set(e, "%s:%d: unknown option `%s`", path, n->line, n->key);
		else
			result = entry_take(o, info, path, n, e);
	}
	conf_free(root);
	return result;
}

int options_parse(struct options *out, const struct option_info *table, size_t count, int argc, char **argv, struct err *e)
{
	const char *path;
	int result;

	*out = (struct options){0};
	result = argv_parse(out, table, count, argc, argv, e);
	path = options_get(out, "config");
	if (result == 0 && path && !options_has(out, "help") && !options_has(out, "version"))
		result = file_parse(out, table, count, path, e);
	if (result < 0)
		options_free(out);
	return result;
}

bool options_has(const struct options *o, const char *name) { return options_get(o, name) != NULL; }

const char *options_get(const struct options *o, const char *name)
{
	for (size_t i = o->count; i-- > 0;)
		if (strcmp(o->items[i].name, name) == 0)
			return o->items[i].value;
	return NULL;
}

size_t options_all(const struct options *o, const char *name, const char **out, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < o->count && n < max; i++)
		if (strcmp(o->items[i].name, name) == 0)
			out[n++] = o->items[i].value;
	return n;
}

void options_help(const struct option_info *table, size_t count, FILE *to)
{
	for (size_t i = 0; i < count; i++) {
		const struct option_info *o = &table[i];
		int width;

		if (!o->help)
			continue;
		width = fprintf(to, "  --%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
		fprintf(to, "%*s%s%s\n", width < HELP_COLUMN ? HELP_COLUMN - width : 1, "", o->help,
		        o->many ? " (repeatable)" : "");
	}
}

static void value_print(const char *value, FILE *to)
{
	fputc('"', to);
	for (const unsigned char *p = (const unsigned char *)value; *p; p++) {
		if (*p == '"' || *p == '\\')
			fprintf(to, "\\%c", *p);
		else if (*p < ' ' || *p == 0x7f)
			fprintf(to, "\\x%02x", *p);
		else
			fputc(*p, to);
	}
	fputs("\"\n", to);
}

/* All values of one name together, where the first of them stands. */
static void option_print(const struct options *o, size_t first, FILE *to)
{
	const char *name = o->items[first].name;
	size_t values = 0;

	for (size_t i = 0; i < o->count; i++) {
		if (strcmp(o->items[i].name, name) != 0)
			continue;
		if (i < first)
			return;
		values++;
	}
	fprintf(to, "%s:%s", name, values > 1 ? "\n" : " ");
	for (size_t i = first; i < o->count; i++) {
		if (strcmp(o->items[i].name, name) != 0)
			continue;
		if (values > 1)
			fputs("  - ", to);
		value_print(o->items[i].value, to);
	}
}

void options_print(const struct options *o, FILE *to)
{
	/* what is printed can be used as a config file */
	for (size_t i = 0; i < o->count; i++)
		if (strcmp(o->items[i].name, "config") != 0 && strcmp(o->items[i].name, "check-config") != 0)
			option_print(o, i, to);
}

void options_free(struct options *o)
{
	for (size_t i = 0; i < o->count; i++)
		free(o->items[i].value);
	free(o->items);
	*o = (struct options){0};
}

/* ---- values ---- */

static bool port_valid(const char *text)
{
	char *end;
	unsigned long port;

	if (!isdigit((unsigned char)*text))
		return false;
	port = strtoul(text, &end, 10);
	return *end == '\0' && port > 0 && port <= 65535;
}

static bool host_valid(const char *text, size_t len)
{
	if (len == 0)
		return false;
	if (text[0] == '[')
		return len > 2 && text[len - 1] == ']';
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr(".-_*%", text[i]))
			return false;
	return true;
}

int endpoint_check(const char *text, struct err *e)
{
	const char *host, *colon;

	if (strncmp(text, "ipc://", 6) == 0 && text[6])
		return 0;
	if (strncmp(text, "tcp://", 6) != 0)
		return err_set(e, "\"%s\" is not an endpoint: tcp://ADDR:PORT is expected", text);
	host = text + 6;
	colon = strrchr(host, ':');
	if (!colon || !port_valid(colon + 1))
		return err_set(e, "endpoint \"%s\": a port between 1 and 65535 is expected behind the last colon", text);
	if (!host_valid(host, (size_t)(colon - host)))
		return err_set(e, "endpoint \"%s\": not an address or name (IPv6 goes in brackets)", text);
	return 0;
}

int duration_parse(const char *text, int64_t *seconds)
{
	static const struct {
		const char *unit;
		int64_t seconds;
	} units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}, {"w", 7 * 86400}};
	char *end;
	long long n;

	if (!isdigit((unsigned char)*text))
		return -1;
	errno = 0;
	n = strtoll(text, &end, 10);
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		if (strcmp(end, units[i].unit) != 0)
			continue;
		if (errno || n > INT64_MAX / units[i].seconds)
			return -1;
		*seconds = n * units[i].seconds;
		return 0;
	}
	return -1;
}
