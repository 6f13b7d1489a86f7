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
/* Refuses, for this reason; NULL: for that for which the node could not stay. */
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
pln_value *pln_expand_many(pln_expander *x, const char *op, pln_value *const *in,
                           uint32_t n_in);
/* An attribute of the node that gives v, which it returns. */
pln_value *pln_expand_set(pln_expander *x, pln_value *v, const char *attr, int64_t i);
pln_value *pln_expand_concat(pln_expander *x, int64_t axis, pln_value *const *in,
                             uint32_t n);
pln_value *pln_expand_reshape(pln_expander *x, pln_value *v, const int64_t *dims,
                              size_t n);
pln_value *pln_expand_unsqueeze(pln_expander *x, pln_value *v, const int64_t *axes,
                                size_t n);
/* Dimensions [from, from + n) of v, which is a value of the file, as an int64 vector: a
 * constant where they are known. */
pln_value *pln_expand_dims(pln_expander *x, pln_value *v, int from, int n);
/* 0, 1, ... below the one element of the vector n; refuses in versions below 9. */
pln_value *pln_expand_count(pln_expander *x, pln_value *n);
/* The size of a dimension of a value of the file; -1: it is not known. */
int64_t pln_expand_size(const pln_value *v, int axis);
/* The contents of an input; NULL: it is absent or no constant. */
const pln_tensor *pln_expand_contents(const pln_expander *x, uint32_t i);
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
pln_status pln_expand_batch_norm_each(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_mvn(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_softmax(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_compare(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_min_max(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_clip(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_cast_like(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_shape(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_constant(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_attention(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_rotary(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_trilu(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_range(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_cumulative(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_einsum(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_loss(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_arg(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_pad(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_crop_pad(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_split(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_reduce(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_resize(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_quantize(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_dequantize(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_window(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_is(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_pow(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_mod(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_dropout(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_bernoulli(pln_node *n, int64_t version, pln_error *err);
pln_status pln_expand_optional(pln_node *n, int64_t version, pln_error *err);

#endif
