/* What an operator of domain `planish` means, as nodes of standard operators: the bodies
 * of the functions that state it in a file. SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_EXPAND_H
#define PLN_PASSES_EXPAND_H

#include "passes/match.h"

#define PLN_EXPAND_OUT 4

/* A body under construction. Failures stick: builders may ask once, at the end. */
typedef struct pln_expand {
    pln_model *m;
    pln_graph *g;         /* its inputs are the node's, in order */
    const pln_node *node; /* that it stands for */
    pln_dtype dtype;      /* of the numbers in it: that of the node's first input */
    unsigned n_names;
    bool failed;
    pln_value *out[PLN_EXPAND_OUT];
} pln_expand;

typedef pln_value *(*pln_expand_fn)(pln_expand *b);

/* There is a body for the operator, all of whose operators `opset` has. */
bool pln_expansion_exists(const char *op_type, int64_t opset);
/* Builds it: PLN_E_UNSUPPORTED where the node can't be said so. */
pln_status pln_expansion_build(pln_expand *b);

/* Counted in each body, so that the same body is always the same text. */
const char *pln_expand_name(pln_expand *b, const char *prefix);

/* ---- for the builders ----------------------------------------------------------- */

/* Input i; NULL: the node does not give it. */
pln_value *ex_in(const pln_expand *b, uint32_t i);
/* A node on up to three inputs, to be given attributes and then its name. */
pln_node *ex_node(pln_expand *b, const char *op, pln_value *x, pln_value *y,
                  pln_value *z);
pln_value *ex_done(pln_expand *b, pln_node *n);
pln_value *ex_op1(pln_expand *b, const char *op, pln_value *x);
pln_value *ex_op2(pln_expand *b, const char *op, pln_value *x, pln_value *y);
/* With one or two float attributes. */
pln_value *ex_float(pln_expand *b, const char *op, pln_value *x, const char *attr,
                    float f, const char *attr2, float f2);
pln_value *ex_number(pln_expand *b, double v);
pln_value *ex_ints(pln_expand *b, const int64_t *v, int64_t n);
/* alpha x + beta */
pln_value *ex_linear(pln_expand *b, pln_value *x, float alpha, float beta);
pln_value *ex_transpose(pln_expand *b, pln_value *x, const int64_t *perm, int rank);
pln_value *ex_cast(pln_expand *b, pln_value *x, pln_dtype to);

/* Post-ops of the node over x; their operands begin at input `first`. */
pln_value *ex_posts(pln_expand *b, pln_value *x, uint32_t first);
pln_value *ex_gelu(pln_expand *b, pln_value *x, bool tanh_form);

/* Bodies that stand in a file of their own. */
pln_value *ex_group_norm(pln_expand *b);
pln_value *ex_layer_norm(pln_expand *b);
pln_value *ex_rms_norm(pln_expand *b);
pln_value *ex_skip_norm(pln_expand *b);
pln_value *ex_embed_norm(pln_expand *b);
pln_value *ex_attention(pln_expand *b);
pln_value *ex_fused_attention(pln_expand *b);
pln_value *ex_product(pln_expand *b);
pln_value *ex_qmatmul(pln_expand *b);
pln_value *ex_qconv(pln_expand *b);
pln_value *ex_byte_pair(pln_expand *b);
pln_value *ex_byte_concat(pln_expand *b);
pln_value *ex_byte_table(pln_expand *b);
pln_value *ex_byte_unit(pln_expand *b);
pln_value *ex_byte_where(pln_expand *b);
pln_value *ex_dynamic_quant(pln_expand *b);
pln_value *ex_rotary(pln_expand *b);
pln_value *ex_dequant_matmul(pln_expand *b);

#endif
