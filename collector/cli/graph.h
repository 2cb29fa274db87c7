/* graph: the catalogue as a picture: what is seen, what it speaks for, what mends it. Reads the document of `causes`. */
#ifndef BW_CLI_GRAPH_H
#define BW_CLI_GRAPH_H

#include "collector/cli/output.h"

void graph_dot(struct out *o, const json_t *doc); /* for Graphviz */
void graph_svg(struct out *o, const json_t *doc); /* drawn here: three columns, a band per category */

#endif
