/* Between the files of the text parser.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_PARSE_IMPL_H
#define PLN_IR_PARSE_IMPL_H

#include "src/ir/lex.h"
#include "src/ir/text.h"

/* A node whose inputs, or a graph whose outputs, are linked once all values are there. */
typedef struct pending {
    struct pending *next;
    pln_node *node;   /* or: */
    pln_graph *graph;
    const char **names; /* interned */
    const pln_type **types; /* of outputs; NULL entries */
    uint32_t n;
    size_t pos; /* in the text, for errors */
} pending;

typedef struct rest { /* "@attr", "@node": belongs to the next node */
    struct rest *next;
    const char *name;
    pln_blob blob;
} rest;

typedef struct parser {
    lex l;
    pln_model *m;
    const pln_text_source *source;
    pending *first, **last;
    rest *rests;
    unsigned depth; /* of graphs */
    uint32_t n_nodes;
} parser;

/* Interned; NULL: no memory (the error is set). */
const char *parse_intern(parser *ps, lex_word w);
pln_status parse_type(parser *ps, pln_type *out);
bool parse_type_is_next(parser *ps);
/* What follows a tensor's type and name: "{1, 2}" or "[\"location\": ...]". */
pln_status parse_tensor(parser *ps, const pln_type *type, pln_tensor **out);
/* "name: type = value" */
pln_status parse_attr(parser *ps, pln_graph *parent, pln_attr **out);
pln_status parse_attr_value(parser *ps, pln_graph *parent, lex_word name, pln_attr **out);
/* A whole graph, name first. */
pln_status parse_body(parser *ps, pln_graph *parent, pln_graph **out);
/* From the inputs to the closing brace. */
pln_status parse_rest_of_graph(parser *ps, pln_graph *g);
/* Connects what is pending, once all values are there. */
pln_status parse_link(parser *ps);
pln_status parse_name(parser *ps, const char **out);
pln_status parse_text(parser *ps, const char **out);
/* A string's bytes, in the model's arena. */
pln_status parse_blob(parser *ps, pln_blob *out);

#endif
