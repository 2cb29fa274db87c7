/* xml: tags, attributes and texts of XML that a program wrote (libvirt), one after the other. No DTD, no entities but the five, no
 * recursion: what is beyond the bounds is cut or skipped. */
#ifndef BW_AGENT_FACTS_XML_H
#define BW_AGENT_FACTS_XML_H

#include <stdbool.h>
#include <stddef.h>

#define XML_DEPTH_MAX 16
#define XML_ATTRS_MAX 16
#define XML_NAME_MAX  32
#define XML_VALUE_MAX 128

struct xml {
	const char *at; /* what is left of the text */
	size_t depth;   /* of the open elements, this one included */
	char path[XML_DEPTH_MAX][XML_NAME_MAX];
	bool opens, closes; /* both: <an/> element without content */
	size_t attr_count;
	struct {
		char name[XML_NAME_MAX], value[XML_VALUE_MAX];
	} attrs[XML_ATTRS_MAX];
	char text[XML_VALUE_MAX]; /* between the tag before and this one, without blanks around it */
};

void xml_begin(struct xml *x, const char *text);
/* The next tag; false: no more, or no XML. An element that closes is still on the path. */
bool xml_next(struct xml *x);
const char *xml_attr(const struct xml *x, const char *name); /* "" = none */
/* The innermost elements are these: "interface/mac". */
bool xml_is(const struct xml *x, const char *tail);

#endif
