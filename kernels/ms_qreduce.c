/* Quantized reductions of com.microsoft: QLinearSoftmax, QLinearReduceMean,
 * ReduceSumInteger. SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "kernels/int_product.h"
#include "kernels/ms_qlinear.h"
#include "kernels/move.h"

#include <math.h>

/* ---- QLinearSoftmax, planish.QSoftmax -------------------------------------------- */

typedef struct softmax_attrs {
    int64_t axis, opset;
} softmax_attrs;

static const pln_attr_spec softmax_spec[] = {
    PLN_A_INT(softmax_attrs, axis, -1),
    { .name = "opset",
      .type = PLN_ATTR_INT,
      .required = true,
      .offset = offsetof(softmax_attrs, opset) },
    PLN_A_END,
};

typedef struct softmax_job {
    pln_axis a;
    const uint8_t *x;
    uint8_t *y;
    int flip;
    float exps[256]; /* of -i x_scale */
    pln_qparam to;
} softmax_job;

static void softmax_rows(void *arg, int64_t begin, int64_t end)
{
    const softmax_job *j = arg;
    const int64_t n = j->a.n, step = j->a.inner;
    for (int64_t r = begin; r < end; r++) {
        const int64_t at = r / step * n * step + r % step;
        const uint8_t *x = j->x + at;
        int32_t most = pln_byte_value(x[0], j->flip);
        for (int64_t i = 1; i < n; i++) {
            const int32_t v = pln_byte_value(x[i * step], j->flip);
            most = v > most ? v : most;
        }
        double sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += (double)j->exps[most - pln_byte_value(x[i * step], j->flip)];
        const float inv = (float)(1.0 / sum);
        for (int64_t i = 0; i < n; i++) {
            const float e = j->exps[most - pln_byte_value(x[i * step], j->flip)];
            j->y[at + i * step] =
                pln_quantize_byte(e * inv, j->to.scale, j->to.zero, j->flip);
        }
    }
}

static pln_status softmax_infer(pln_infer *inf, pln_error *err)
{
    const softmax_attrs *at = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    int axis;
    PLN_TRY(pln_infer_same(inf, err));
    return rank > 0 ? pln_infer_axis(inf, at->axis, rank, &axis, err) : PLN_OK;
}

/* Before version 13 of Softmax all dimensions from the axis on are one. */
static pln_status softmax_ref(pln_call *c, pln_error *err)
{
    const softmax_attrs *at = c->attrs;
    const pln_tensor *x = c->in[0];
    softmax_job j = { .x = x->data,
                      .y = c->out[0]->data,
                      .flip = pln_byte_flip((pln_dtype)x->dtype) };
    pln_qparam from;
    int axis = 0;
    PLN_TRY(pln_qparam_get(c, 1, 2, &from, err));
    PLN_TRY(pln_qparam_get(c, 3, 4, &j.to, err));
    if (x->rank > 0)
        PLN_TRY(pln_move_axis(c, at->axis, x->rank, &axis, PLN_E_RUN, err));
    j.a = pln_axis_of(x, axis, at->opset < 13 || x->rank == 0 ? x->rank : axis + 1);
    for (int i = 0; i < 256; i++)
        j.exps[i] = expf(-(float)i * from.scale);
    if (j.a.n > 0)
        pln_parallel_for(c->n_threads, j.a.outer * j.a.inner, 1 + 8192 / j.a.n,
                         softmax_rows, &j);
    return PLN_OK;
}

/* ---- QLinearReduceMean, ReduceSumInteger ----------------------------------------- */

typedef struct reduce_attrs {
    pln_ints axes;
    int64_t keepdims;
} reduce_attrs;

static const pln_attr_spec reduce_spec[] = {
    { .name = "axes",
      .type = PLN_ATTR_INTS,
      .required = true,
      .offset = offsetof(reduce_attrs, axes) },
    { .name = "keepdims",
      .type = PLN_ATTR_INT,
      .required = true,
      .offset = offsetof(reduce_attrs, keepdims) },
    PLN_A_END,
};

/* Which dimensions go; all where none is named. false: an axis is out of range. */
static bool reduced_dims(const reduce_attrs *at, int rank, bool *gone)
{
    for (int d = 0; d < rank; d++)
        gone[d] = at->axes.n == 0;
    for (size_t i = 0; i < at->axes.n; i++) {
        int axis;
        if (!pln_axis_normal(at->axes.v[i], rank, &axis))
            return false;
        gone[axis] = true;
    }
    return true;
}

static pln_status reduce_shape(pln_infer *inf, pln_dtype dt, pln_error *err)
{
    const reduce_attrs *at = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    bool gone[PLN_MAX_RANK];
    pln_infer_set(inf, 0, dt, pln_shape_unknown());
    if (rank == PLN_RANK_UNKNOWN)
        return PLN_OK;
    if (!reduced_dims(at, rank, gone))
        return pln_infer_fail(inf, err, "an axis is out of range for rank %d", rank);
    int left = 0;
    for (int d = 0; d < rank; d++)
        left += at->keepdims || !gone[d];
    pln_shape s = pln_infer_shape(inf, left);
    for (int d = 0, o = 0; d < rank; d++)
        if (at->keepdims || !gone[d])
            s.dims[o++] = gone[d] ? pln_dim_of(1) : pln_infer_dim(inf, 0, d);
    pln_infer_set(inf, 0, dt, s);
    return PLN_OK;
}

static pln_status mean_infer(pln_infer *inf, pln_error *err)
{
    return reduce_shape(inf, pln_infer_dtype(inf, 0), err);
}

static pln_status sum_infer(pln_infer *inf, pln_error *err)
{
    const bool u = pln_infer_dtype(inf, 0) == PLN_DT_U8;
    return reduce_shape(inf, u ? PLN_DT_U32 : PLN_DT_S32, err);
}

/* Sums of the bytes by output element, in scratch memory; *count: how many each has. */
static pln_status sums_of(pln_call *c, int64_t **out, int64_t *count, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    const int flip = pln_byte_flip((pln_dtype)x->dtype);
    const int64_t n = pln_tensor_size(c->out[0]);
    int64_t step[PLN_MAX_RANK], at = 0, index[PLN_MAX_RANK] = { 0 }, size = 1;
    bool gone[PLN_MAX_RANK];
    size_t bytes;
    if (!reduced_dims(c->attrs, x->rank, gone))
        return pln_call_fail(c, err, PLN_E_RUN, "an axis is out of range");
    if (!pln_size_mul(&bytes, (size_t)n + 1, sizeof **out) ||
        !(*out = pln_call_scratch(c, bytes)))
        return pln_oom(err);
    memset(*out, 0, bytes);
    *count = 1;
    for (int d = x->rank - 1; d >= 0; d--) {
        step[d] = gone[d] ? 0 : size;
        size *= gone[d] ? 1 : x->dims[d];
        *count *= gone[d] ? x->dims[d] : 1;
    }
    const uint8_t *v = x->data;
    for (int64_t i = 0, all = pln_tensor_size(x); i < all; i++) {
        (*out)[at] += pln_byte_value(v[i], flip);
        for (int d = x->rank - 1; d >= 0; d--) {
            at += step[d];
            if (++index[d] < x->dims[d])
                break;
            at -= step[d] * x->dims[d];
            index[d] = 0;
        }
    }
    return PLN_OK;
}

static pln_status mean_ref(pln_call *c, pln_error *err)
{
    pln_qparam from, to;
    int64_t *sums, count;
    PLN_TRY(pln_qparam_get(c, 1, 2, &from, err));
    PLN_TRY(pln_qparam_get(c, 3, 4, &to, err));
    PLN_TRY(sums_of(c, &sums, &count, err));
    const int flip = pln_byte_flip((pln_dtype)c->out[0]->dtype);
    uint8_t *y = c->out[0]->data;
    for (int64_t i = 0, n = pln_tensor_size(c->out[0]); i < n; i++) {
        const double sum = (double)sums[i] - (double)count * from.zero;
        const float mean = (float)(sum * (double)from.scale / (double)count);
        y[i] = pln_quantize_byte(mean, to.scale, to.zero, flip);
    }
    return PLN_OK;
}

/* Wraps at 32 bits. */
static pln_status sum_ref(pln_call *c, pln_error *err)
{
    int64_t *sums, count;
    PLN_TRY(sums_of(c, &sums, &count, err));
    uint32_t *y = c->out[0]->data;
    for (int64_t i = 0, n = pln_tensor_size(c->out[0]); i < n; i++)
        y[i] = (uint32_t)sums[i];
    return PLN_OK;
}

#define MS    .domain = "com.microsoft", .since = 1, .out = { 1, 1 }
#define BYTES "T:uint8,int8"

const pln_op_desc pln_ops_ms_qreduce[] = {
    { MS, .name = "QLinearSoftmax", .in = { 5, 5 }, .types = BYTES,
      .sig = "T,float,T?,float,T->T", .attrs = softmax_spec,
      .attrs_size = sizeof(softmax_attrs), .infer = softmax_infer, .ref = softmax_ref },
    { .domain = "planish", .since = 1, .out = { 1, 1 }, .name = "QSoftmax",
      .in = { 4, 5 }, .types = BYTES, .sig = "T,float,T?,float,T?->T",
      .attrs = softmax_spec,
      .attrs_size = sizeof(softmax_attrs), .infer = softmax_infer, .ref = softmax_ref },
    { MS, .name = "QLinearReduceMean", .in = { 4, 5 }, .types = BYTES,
      .sig = "T,float,T?,float,T?->T", .attrs = reduce_spec,
      .attrs_size = sizeof(reduce_attrs), .infer = mean_infer, .ref = mean_ref },
    { MS, .name = "ReduceSumInteger", .in = { 1, 1 }, .types = BYTES ";T2:int32,uint32",
      .sig = "T->T2", .attrs = reduce_spec, .attrs_size = sizeof(reduce_attrs),
      .infer = sum_infer, .ref = sum_ref },
    { .name = NULL },
};
