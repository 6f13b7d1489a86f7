/* Windows over tensors of com.microsoft: UnfoldTensor and NGramRepeatBlock; IsAllFinite.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"

#include <math.h>

/* ---- UnfoldTensor: slices of `size` along a dimension, in one of their own --------- */

typedef struct unfold_attrs {
    int64_t dim, size, step;
} unfold_attrs;

static const pln_attr_spec unfold_spec[] = {
    PLN_A_INT(unfold_attrs, dim, -1),
    { .name = "size",
      .type = PLN_ATTR_INT,
      .required = true,
      .offset = offsetof(unfold_attrs, size) },
    PLN_A_INT(unfold_attrs, step, 1),
    PLN_A_END,
};

static pln_status unfold_infer(pln_infer *inf, pln_error *err)
{
    const unfold_attrs *at = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    int axis;
    if (at->size < 1 || at->step < 1)
        return pln_infer_fail(inf, err, "size %lld, step %lld", (long long)at->size,
                              (long long)at->step);
    if (rank == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    PLN_TRY(pln_infer_axis(inf, at->dim, rank, &axis, err));
    if (rank + 1 > PLN_MAX_RANK)
        return pln_infer_fail(inf, err, "rank %d", rank + 1);
    pln_shape s = pln_infer_shape(inf, rank + 1);
    for (int d = 0; d < rank; d++)
        s.dims[d] = pln_infer_dim(inf, 0, d);
    s.dims[rank] = pln_dim_of(at->size);
    if (pln_dim_is_known(s.dims[axis]) && s.dims[axis].value < at->size)
        return pln_infer_fail(inf, err, "slices of %lld in a dimension of %lld",
                              (long long)at->size, (long long)s.dims[axis].value);
    const pln_dim room = pln_dim_sub(inf->syms, s.dims[axis], pln_dim_of(at->size));
    s.dims[axis] = pln_dim_add(
        inf->syms, pln_dim_div(inf->syms, room, pln_dim_of(at->step)), pln_dim_of(1));
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), s);
    return PLN_OK;
}

static pln_status unfold_ref(pln_call *c, pln_error *err)
{
    const unfold_attrs *at = c->attrs;
    const pln_tensor *x = c->in[0];
    pln_tensor *y = c->out[0];
    const size_t size = pln_dtype_size((pln_dtype)x->dtype);
    int64_t from[PLN_MAX_RANK], to[PLN_MAX_RANK];
    int axis;
    PLN_TRY(pln_move_axis(c, at->dim, x->rank, &axis, PLN_E_RUN, err));
    if (pln_tensor_size(y) == 0)
        return PLN_OK;
    pln_move_strides(x->rank, x->dims, size, from);
    pln_move_strides(y->rank, y->dims, size, to);
    from[x->rank] = from[axis];
    from[axis] *= at->step;
    pln_move_begin(y);
    pln_move_nd(y->data, to, x->data, from, y->dims, y->rank, size, c->n_threads);
    pln_move_end(y);
    return PLN_OK;
}

/* ---- NGramRepeatBlock: no n-gram of the words so far shall come again ------------ */

typedef struct ngram_attrs {
    int64_t ngram_size;
} ngram_attrs;

static const pln_attr_spec ngram_spec[] = {
    { .name = "ngram_size",
      .type = PLN_ATTR_INT,
      .required = true,
      .offset = offsetof(ngram_attrs, ngram_size) },
    PLN_A_END,
};

static pln_status ngram_infer(pln_infer *inf, pln_error *err)
{
    const int words = pln_infer_rank(inf, 0), scores = pln_infer_rank(inf, 1);
    if (((const ngram_attrs *)inf->attrs)->ngram_size < 1)
        return pln_infer_fail(inf, err, "ngram_size is below 1");
    if ((words >= 0 && words != 2) || (scores >= 0 && scores != 2))
        return pln_infer_fail(inf, err, "ranks %d and %d, want 2", words, scores);
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 1),
                  scores == 2 ? pln_move_infer_like(inf, 1) : pln_shape_unknown());
    return PLN_OK;
}

static pln_status ngram_ref(pln_call *c, pln_error *err)
{
    const pln_tensor *ids = c->in[0], *scores = c->in[1];
    const int64_t n = ((const ngram_attrs *)c->attrs)->ngram_size - 1;
    const int64_t len = ids->dims[1], vocabulary = scores->dims[1];
    float *y = c->out[0]->data;
    if (ids->dims[0] != scores->dims[0])
        return pln_call_fail(c, err, PLN_E_RUN, "%lld sentences and %lld rows of scores",
                             (long long)ids->dims[0], (long long)scores->dims[0]);
    if (pln_tensor_size(scores))
        memcpy(y, scores->data, pln_move_bytes_of(scores));
    for (int64_t b = 0; b < ids->dims[0]; b++) {
        const int64_t *w = PLN_DATA(const int64_t, ids) + b * len;
        for (int64_t i = 0; i + n < len; i++) {
            /* Words i.. are the last n words: what came next then is blocked now. */
            if (n > 0 && memcmp(w + i, w + len - n, (size_t)n * sizeof *w) != 0)
                continue;
            if (w[i + n] < 0 || w[i + n] >= vocabulary)
                return pln_call_fail(c, err, PLN_E_RUN, "word %lld of %lld",
                                     (long long)w[i + n], (long long)vocabulary);
            y[b * vocabulary + w[i + n]] = -INFINITY;
        }
    }
    return PLN_OK;
}

/* ---- IsAllFinite ----------------------------------------------------------------- */

typedef struct finite_attrs {
    int64_t isinf_only, isnan_only;
} finite_attrs;

static const pln_attr_spec finite_spec[] = {
    PLN_A_INT(finite_attrs, isinf_only, 0),
    PLN_A_INT(finite_attrs, isnan_only, 0),
    PLN_A_END,
};

static pln_status finite_infer(pln_infer *inf, pln_error *err)
{
    (void)err;
    pln_infer_set(inf, 0, PLN_DT_BOOL, pln_infer_shape(inf, 0));
    return PLN_OK;
}

static pln_status finite_ref(pln_call *c, pln_error *err)
{
    const finite_attrs *at = c->attrs;
    bool good = true;
    (void)err;
    for (uint32_t k = 0; k < c->n_in; k++) {
        const int64_t n = c->in[k] ? pln_tensor_size(c->in[k]) : 0;
        for (int64_t i = 0; good && i < n; i++) {
            const double v = pln_tensor_get_f64(c->in[k], i);
            good = (at->isinf_only || !isnan(v)) && (at->isnan_only || !isinf(v));
        }
    }
    PLN_DATA(uint8_t, c->out[0])[0] = good;
    return PLN_OK;
}

#define MS .domain = "com.microsoft", .since = 1, .out = { 1, 1 }

const pln_op_desc pln_ops_ms_window[] = {
    { MS, .name = "UnfoldTensor", .in = { 1, 1 }, .types = "T:" PLN_TS_STD, .sig = "T->T",
      .attrs = unfold_spec, .attrs_size = sizeof(unfold_attrs), .infer = unfold_infer,
      .ref = unfold_ref },
    { MS, .name = "NGramRepeatBlock", .in = { 2, 2 }, .sig = "int64,float->float",
      .attrs = ngram_spec, .attrs_size = sizeof(ngram_attrs), .infer = ngram_infer,
      .ref = ngram_ref },
    { MS, .name = "IsAllFinite", .in = { 1, PLN_VARIADIC }, .types = "V:" PLN_TS_FLOAT,
      .sig = "V+->bool", .attrs = finite_spec, .attrs_size = sizeof(finite_attrs),
      .infer = finite_infer, .ref = finite_ref },
    { .name = NULL },
};
