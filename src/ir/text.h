/* The textual form of models: ONNX's own syntax as onnx.parser reads it, with what that
 * has no place for behind "#%+", which onnx.parser takes for a comment
 * (docs/text-format.md).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_TEXT_H
#define PLN_IR_TEXT_H

#include "src/ir/graph.h"

typedef struct pln_text_style {
    uint32_t inline_limit; /* most elements of a tensor that is printed inline, if `data`
                              or `elide` offers another way */
    /* Takes the bytes of a larger tensor and says where they lie; NULL: inline. */
    pln_status (*data)(void *user, const void *bytes, size_t size, uint64_t *offset,
                       pln_error *err);
    const char *location; /* of that file */
    bool elide;  /* larger tensors are left out: for the eye, not for reading back */
    bool raised; /* nodes with the newest meaning of their operators, as they are in
                    memory, instead of as they stand in the file */
    bool types;  /* also inferred types of values, not only declared ones */
    /* Comment lines for a node (NULL: for the model as a whole). */
    void (*note)(void *user, const pln_node *n, pln_text *out);
    void *user;
} pln_text_style;

pln_status pln_text_print_model(const pln_model *m, const pln_text_style *style,
                                pln_text *out, pln_error *err);
pln_status pln_text_print_graph(const pln_graph *g, const pln_text_style *style,
                                pln_text *out, pln_error *err);

/* A node of our own without names: "planish.Op <attributes> (x0, x1, "", x3)". */
pln_status pln_text_print_call(const pln_node *n, pln_text *out, pln_error *err);

typedef struct pln_text_source {
    /* Gives `length` bytes (UINT64_MAX: all) from offset of an external file, as a buffer
     * and a place in it. NULL: external data is refused. */
    pln_status (*external)(void *user, const char *location, uint64_t offset,
                           uint64_t length, pln_buf **buf, const unsigned char **data,
                           size_t *size, pln_error *err);
    void *user;
} pln_text_source;

/* Errors begin with "line:column: ". */
pln_status pln_text_parse_model(pln_env *env, const char *text, size_t len,
                                const pln_text_source *source, pln_model **out,
                                pln_error *err);
/* One function ("<domain: ..., opset_import: [...]> name (x) => (y) { ... }") as part of
 * a model; it is not entered into the model's list. */
pln_status pln_text_parse_function(pln_model *m, const char *text, size_t len,
                                   pln_function **out, pln_error *err);

#endif
