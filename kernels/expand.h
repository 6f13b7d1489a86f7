/* Expansions: older operators that together mean a newer one, for operator sets that lack
 * it (pln_op_desc.expand). SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_EXPAND_H
#define PLN_KERNELS_EXPAND_H

#include "src/ir/op.h"

/* Nodes under construction before n. Failures stick: every call after one gives NULL, and
 * pln_expand_end() tells. */
typedef struct pln_expander {
    pln_node *n;
    int64_t version;
    pln_dtype dt; /* element type of input 0 */
    pln_status st;
    pln_error *err;
} pln_expander;

/* Fails when the element type of input 0 is not known. */
pln_expander pln_expand_begin(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_end(const pln_expander *x);
/* Refuses, for this reason. */
void pln_expand_refuse(pln_expander *x, const char *why);

pln_value *pln_expand_in(const pln_expander *x, uint32_t i); /* NULL: absent */
float pln_expand_float(const pln_expander *x, const char *attr, float otherwise);
int64_t pln_expand_int(const pln_expander *x, const char *attr, int64_t otherwise);
/* The rank of input 0; refuses when it is not known. */
int pln_expand_rank(pln_expander *x);

pln_node *pln_expand_node(pln_expander *x, const char *op, pln_value *const *in,
                          uint32_t n_in, uint32_t n_out);
/* Of one, two, three inputs and one output, which they return. */
pln_value *pln_expand_1(pln_expander *x, const char *op, pln_value *a);
pln_value *pln_expand_2(pln_expander *x, const char *op, pln_value *a, pln_value *b);
pln_value *pln_expand_3(pln_expander *x, const char *op, pln_value *a, pln_value *b,
                        pln_value *c);
/* The same with a scalar of the type of input 0 behind. */
pln_value *pln_expand_by(pln_expander *x, const char *op, pln_value *a, double scalar);
pln_value *pln_expand_scalar(pln_expander *x, pln_dtype dt, double v);
pln_value *pln_expand_ints(pln_expander *x, const int64_t *v, size_t n);
pln_value *pln_expand_cast(pln_expander *x, pln_value *a, pln_dtype dt);
/* The mean over axes, which stay with size 1. */
pln_value *pln_expand_mean(pln_expander *x, pln_value *a, const int64_t *axes, size_t n);
pln_value *pln_expand_transpose(pln_expander *x, pln_value *a, const int64_t *perm,
                                size_t n);
/* Users of output i use v instead, which takes its name. */
void pln_expand_give(pln_expander *x, uint32_t i, pln_value *v);
bool pln_expand_wants(const pln_expander *x, uint32_t i);

typedef pln_status (*pln_expand_fn)(pln_node *n, int64_t version, pln_error *err);
/* One each for the rows of a family, or for one row. */
pln_status pln_expand_activation(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_swiglu(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_layer_norm(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_rms_norm(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_group_norm(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_mvn(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_softmax(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_compare(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_min_max(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_clip(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_cast_like(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_shape(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_constant(pln_node *n, int64_t version, pln_error *err);

#endif
