/* QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "kernels/expand.h"
#include "kernels/quantize.h"
#include "kernels/raise.h"
#include "kernels/type_sets.h"
#include "kernels/vec.h"
#include "src/ir/numeric.h"
#include "src/ir/op.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <math.h>

typedef struct quant_attrs {
    int64_t axis, block_size, output_dtype, saturate, precision;
} quant_attrs;

static const pln_attr_spec quant_spec[] = {
    PLN_A_INT(quant_attrs, axis, 1),         PLN_A_INT(quant_attrs, block_size, 0),
    PLN_A_INT(quant_attrs, output_dtype, 0), PLN_A_INT(quant_attrs, saturate, 1),
    PLN_A_INT(quant_attrs, precision, 0),    PLN_A_END,
};
static const pln_attr_spec dequant_spec[] = {
    PLN_A_INT(quant_attrs, axis, 1),
    PLN_A_INT(quant_attrs, block_size, 0),
    PLN_A_INT(quant_attrs, output_dtype, 0),
    PLN_A_END,
};

/* Of com.microsoft: an axis alone. */
static const pln_attr_spec ms_spec[] = { PLN_A_INT(quant_attrs, axis, 1), PLN_A_END };

/* ---- which scale belongs to which element ------------------------------------------ */

/* The tensor is rows of `len` elements. Row r has scales from `at` on, one for all (step
 * 0) or one each (step 1). */
typedef struct layout {
    int64_t n_rows, len, step;
    pln_axis axis;
    int64_t block; /* elements of the axis that share a scale; 0: one scale for all */
    int64_t n_blocks;
    bool per_axis; /* scales of a vector, not of a tensor like x */
} layout;

static int64_t scale_at(const layout *l, int64_t row)
{
    if (l->block == 0)
        return 0;
    if (l->step) /* rows are [outer, n] of `inner`, or [outer] of n for the last axis */
        return l->per_axis ? 0
                           : row / l->axis.n * l->n_blocks * l->axis.inner +
                                 row % l->axis.n / l->block * l->axis.inner;
    if (l->per_axis)
        return row % l->axis.n;
    return row / l->axis.n * l->n_blocks + row % l->axis.n / l->block;
}

static pln_status blocked(const pln_call *c, const quant_attrs *a, int axis, layout *l,
                          pln_error *err)
{
    const pln_tensor *x = c->in[0], *s = c->in[1];
    for (int i = 0; i < x->rank; i++) {
        const bool along = i == axis;
        const int64_t d = x->dims[i];
        const int64_t want = along ? (d + a->block_size - 1) / a->block_size : d;
        if (s->dims[i] != want)
            return pln_call_fail(c, err, PLN_E_RUN,
                                 "scale has %lld in dimension %d, want %lld",
                                 (long long)s->dims[i], i, (long long)want);
    }
    l->axis = pln_axis_of(x, axis, axis + 1);
    l->block = a->block_size;
    l->n_blocks = s->dims[axis];
    if (l->axis.inner == 1 && l->axis.n % a->block_size == 0) { /* a block is a row */
        l->n_rows = l->axis.n = l->axis.outer * l->n_blocks;
        l->len = a->block_size;
        l->block = 1;
        l->per_axis = true;
        return PLN_OK;
    }
    l->n_rows = l->axis.outer * l->axis.n;
    l->len = l->axis.inner;
    l->step = l->axis.inner > 1;
    return PLN_OK;
}

static pln_status find_layout(const pln_call *c, layout *l, pln_error *err)
{
    const quant_attrs *a = (const quant_attrs *)c->attrs;
    const pln_tensor *x = c->in[0], *s = c->in[1];
    const int64_t n_scales = pln_tensor_size(s);
    int axis = 0;
    *l = (layout){ .n_rows = 1, .len = pln_tensor_size(x) };
    if (pln_call_has(c, 2) && pln_tensor_size(c->in[2]) != n_scales)
        return pln_call_fail(c, err, PLN_E_RUN, "%lld scales and %lld zero points",
                             (long long)n_scales, (long long)pln_tensor_size(c->in[2]));
    if (n_scales == 1 && (s->rank == 0 || a->block_size == 0))
        return PLN_OK;
    if (x->rank == 0 || !pln_axis_normal(a->axis, x->rank, &axis))
        return pln_call_fail(c, err, PLN_E_RUN, "axis %lld with rank %d",
                             (long long)a->axis, x->rank);
    if (a->block_size > 0 && s->rank == x->rank)
        return blocked(c, a, axis, l, err);
    if (n_scales != x->dims[axis])
        return pln_call_fail(c, err, PLN_E_RUN, "%lld scales for %lld along axis %d",
                             (long long)n_scales, (long long)x->dims[axis], axis);
    l->axis = pln_axis_of(x, axis, axis + 1);
    l->per_axis = true;
    l->block = 1;
    l->n_blocks = n_scales;
    l->step = l->axis.inner == 1;
    l->n_rows = l->step ? l->axis.outer : l->axis.outer * l->axis.n;
    l->len = l->step ? l->axis.n : l->axis.inner;
    return PLN_OK;
}

/* ---- blocks ------------------------------------------------------------------------ */

typedef struct job {
    const pln_call *c;
    layout l;
    const float *scale, *zero; /* zero NULL: none */
    float lo, hi;              /* of integer outputs */
    bool saturate;
    int64_t pieces; /* of a row, each PIECE long */
} job;

#define PIECE 8192
#define BLOCK 256

/* Quantized values as float: integers in their range, float8 before its rounding. */
static void quant_block(const job *j, const float *x, float *y, int64_t at, int64_t n)
{
    const int64_t step = j->l.step;
    for (int64_t i = 0; i < n; i++) {
        const float zero = j->zero ? j->zero[at + i * step] : 0;
        const float q = rintf(x[i] / j->scale[at + i * step]) + zero;
        y[i] = !(q > j->lo) ? j->lo : q < j->hi ? q : j->hi;
    }
}

static void quant_float8(const job *j, const float *x, uint8_t *y, int64_t at, int64_t n)
{
    const pln_dtype dt = (pln_dtype)j->c->out[0]->dtype;
    const int64_t step = j->l.step;
    for (int64_t i = 0; i < n; i++) {
        const float q = x[i] / j->scale[at + i * step];
        y[i] = dt == PLN_DT_F4E2M1         ? pln_f32_to_f4(q)
               : pln_dtype_bits(dt) == 6 ? pln_f32_to_f6(dt, q)
                                         : pln_f32_to_f8(dt, q, j->saturate);
    }
}

static bool quant_fast(const job *j, int64_t first, int64_t at, int64_t n)
{
    const pln_tensor *x = j->c->in[0], *y = j->c->out[0];
    const int32_t zero = j->zero ? (int32_t)j->zero[at] : 0;
    if (j->l.step || x->dtype != PLN_DT_F32)
        return false;
    const float *p = PLN_DATA(const float, x) + first;
    if (y->dtype == PLN_DT_U8)
        pln_vec()->quant_u8(PLN_DATA(uint8_t, y) + first, p, n, j->scale[at], zero);
    else if (y->dtype == PLN_DT_S8)
        pln_vec()->quant_s8(PLN_DATA(int8_t, y) + first, p, n, j->scale[at], zero);
    else
        return false;
    return true;
}

static void quant_pieces(void *arg, int64_t begin, int64_t end)
{
    const job *j = (const job *)arg;
    pln_tensor *y = j->c->out[0];
    const bool is_float = pln_dtype_is_float((pln_dtype)y->dtype);
    float in[BLOCK], out[BLOCK];
    for (int64_t p = begin; p < end; p++) {
        const int64_t row = p / j->pieces, from = p % j->pieces * PIECE;
        const int64_t last = j->l.len - from < PIECE ? j->l.len : from + PIECE;
        const int64_t at = scale_at(&j->l, row), first = row * j->l.len;
        if (quant_fast(j, first + from, at, last - from))
            continue;
        for (int64_t i = from; i < last; i += BLOCK) {
            const int64_t n = last - i < BLOCK ? last - i : BLOCK;
            const int64_t s = at + i * j->l.step;
            pln_block_load(PLN_DT_F32, in, j->c->in[0], first + i, 1, n);
            if (is_float) {
                quant_float8(j, in, PLN_DATA(uint8_t, y) + first + i, s, n);
            } else {
                quant_block(j, in, out, s, n);
                pln_block_store(y, first + i, 1, PLN_DT_F32, out, n);
            }
        }
    }
}

/* The difference to the zero point is exact: in double, since x may be int32. */
static void dequant_block(const job *j, const double *x, float *y, int64_t at, int64_t n)
{
    const int64_t step = j->l.step;
    for (int64_t i = 0; i < n; i++) {
        const double zero = j->zero ? j->zero[at + i * step] : 0;
        y[i] = (float)(x[i] - zero) * j->scale[at + i * step];
    }
}

static bool dequant_fast(const job *j, int64_t first, int64_t at, int64_t n)
{
    const pln_tensor *x = j->c->in[0], *y = j->c->out[0];
    const int32_t zero = j->zero ? (int32_t)j->zero[at] : 0;
    if (j->l.step || y->dtype != PLN_DT_F32)
        return false;
    float *p = PLN_DATA(float, y) + first;
    if (x->dtype == PLN_DT_U8)
        pln_vec()->dequant_u8(p, PLN_DATA(const uint8_t, x) + first, n, j->scale[at],
                              zero);
    else if (x->dtype == PLN_DT_S8)
        pln_vec()->dequant_s8(p, PLN_DATA(const int8_t, x) + first, n, j->scale[at],
                              zero);
    else if (x->dtype == PLN_DT_S32 && zero == 0)
        pln_vec()->dequant_s32(p, PLN_DATA(const int32_t, x) + first, n, j->scale[at]);
    else
        return false;
    return true;
}

static void dequant_pieces(void *arg, int64_t begin, int64_t end)
{
    const job *j = (const job *)arg;
    double in[BLOCK];
    float out[BLOCK];
    for (int64_t p = begin; p < end; p++) {
        const int64_t row = p / j->pieces, from = p % j->pieces * PIECE;
        const int64_t last = j->l.len - from < PIECE ? j->l.len : from + PIECE;
        const int64_t at = scale_at(&j->l, row), first = row * j->l.len;
        if (dequant_fast(j, first + from, at, last - from))
            continue;
        for (int64_t i = from; i < last; i += BLOCK) {
            const int64_t n = last - i < BLOCK ? last - i : BLOCK;
            pln_block_load(PLN_DT_F64, in, j->c->in[0], first + i, 1, n);
            dequant_block(j, in, out, at + i * j->l.step, n);
            pln_block_store(j->c->out[0], first + i, 1, PLN_DT_F32, out, n);
        }
    }
}

static pln_status run_job(pln_call *c, pln_range_fn fn, pln_error *err)
{
    const quant_attrs *a = (const quant_attrs *)c->attrs;
    const int64_t n = pln_tensor_size(c->in[1]);
    const bool has_zero = pln_call_has(c, 2);
    job j = { .c = c, .saturate = a->saturate };
    size_t bytes;
    PLN_TRY(find_layout(c, &j.l, err));
    if (j.l.n_rows == 0 || j.l.len == 0)
        return PLN_OK;
    if (!pln_size_mul(&bytes, (size_t)n, 2 * sizeof(float)))
        return pln_oom(err);
    float *v = (float *)pln_call_scratch(c, bytes);
    if (!v)
        return pln_oom(err);
    pln_block_load(PLN_DT_F32, v, c->in[1], 0, 1, n);
    if (has_zero)
        pln_block_load(PLN_DT_F32, v + n, c->in[2], 0, 1, n);
    j.scale = v;
    j.zero = has_zero ? v + n : NULL;
    pln_quant_range((pln_dtype)c->out[0]->dtype, &j.lo, &j.hi);
    j.pieces = (j.l.len + PIECE - 1) / PIECE;
    pln_parallel_for(c->n_threads, j.l.n_rows * j.pieces, 1 + 4 * PIECE / j.l.len, fn,
                     &j);
    return PLN_OK;
}

void pln_quant_range(pln_dtype dt, float *lo, float *hi)
{
    const unsigned bits = pln_dtype_bits(dt);
    const bool is_signed = pln_dtype_is_signed(dt);
    const float span = (float)(UINT64_C(1) << (is_signed ? bits - 1 : bits));
    *lo = is_signed ? -span : 0;
    *hi = span - 1;
}

static pln_status quant_ref(pln_call *c, pln_error *err)
{
    return run_job(c, quant_pieces, err);
}

static pln_status dequant_ref(pln_call *c, pln_error *err)
{
    return run_job(c, dequant_pieces, err);
}

/* One scale for all: the elements may lie in any order. */
static pln_status prepare(pln_prep *p, pln_error *err)
{
    const quant_attrs *a = (const quant_attrs *)p->attrs;
    const pln_tensor *s = p->in[1];
    (void)err;
    if (pln_tensor_size(s) != 1 || (s->rank > 0 && (s->dims[0] < 0 || a->block_size)))
        return PLN_E_UNSUPPORTED;
    for (uint32_t i = 1; i < p->n_in; i++)
        p->layout_in[i] = PLN_LAYOUT_PLAIN;
    p->layout_out[0] = p->layout_in[0];
    return PLN_OK;
}

static const pln_impl quant_cpu = { "quantize", prepare, quant_ref, NULL };
static const pln_impl dequant_cpu = { "dequantize", prepare, dequant_ref, NULL };

/* ---- DynamicQuantizeLinear --------------------------------------------------------- */

typedef struct dyn_job {
    const float *x;
    uint8_t *y;
    float *lo, *hi; /* of each piece */
    int64_t n;
    float scale;
    int32_t zero;
} dyn_job;

static void range_pieces(void *arg, int64_t begin, int64_t end)
{
    const dyn_job *j = (const dyn_job *)arg;
    for (int64_t p = begin; p < end; p++) {
        const int64_t left = j->n - p * PIECE, n = left < PIECE ? left : PIECE;
        j->lo[p] = pln_vec()->min_of(j->x + p * PIECE, n);
        j->hi[p] = pln_vec()->max_of(j->x + p * PIECE, n);
    }
}

static void dyn_pieces(void *arg, int64_t begin, int64_t end)
{
    const dyn_job *j = (const dyn_job *)arg;
    for (int64_t p = begin; p < end; p++) {
        const int64_t left = j->n - p * PIECE, n = left < PIECE ? left : PIECE;
        pln_vec()->quant_u8(j->y + p * PIECE, j->x + p * PIECE, n, j->scale, j->zero);
    }
}

void pln_dynamic_scale(float lo, float hi, float *scale, int32_t *zero)
{
    lo = lo < 0 ? lo : 0;
    hi = hi > 0 ? hi : 0;
    *scale = hi == lo ? 1.0f : (hi - lo) / 255.0f;
    const float z = 0.0f - lo / *scale;
    *zero = (int32_t)rintf(!(z > 0) ? 0 : z < 255 ? z : 255);
}

static pln_status dynamic_ref(pln_call *c, pln_error *err)
{
    dyn_job j = { .x = PLN_DATA(const float, c->in[0]), .n = pln_tensor_size(c->in[0]) };
    const int64_t pieces = (j.n + PIECE - 1) / PIECE;
    float lo = 0, hi = 0;
    j.lo = (float *)pln_call_scratch(c, (size_t)(pieces + 1) * 2 * sizeof(float));
    if (!j.lo)
        return pln_oom(err);
    j.hi = j.lo + pieces;
    pln_parallel_for(c->n_threads, pieces, 4, range_pieces, &j);
    for (int64_t p = 0; p < pieces; p++) {
        lo = j.lo[p] < lo ? j.lo[p] : lo;
        hi = j.hi[p] > hi ? j.hi[p] : hi;
    }
    pln_dynamic_scale(lo, hi, &j.scale, &j.zero);
    if (pln_call_wants(c, 0)) {
        j.y = PLN_DATA(uint8_t, c->out[0]);
        pln_parallel_for(c->n_threads, pieces, 4, dyn_pieces, &j);
    }
    if (pln_call_wants(c, 1))
        PLN_DATA(float, c->out[1])[0] = j.scale;
    if (pln_call_wants(c, 2))
        PLN_DATA(uint8_t, c->out[2])[0] = (uint8_t)j.zero;
    return PLN_OK;
}

/* ---- inference --------------------------------------------------------------------- */

static pln_status check_type(pln_infer *inf, pln_error *err)
{
    const pln_dtype dt = inf->out[0].dtype;
    if (dt != PLN_DT_NONE && (!pln_block_can(dt) || dt == PLN_DT_BOOL))
        return pln_infer_fail(inf, err, "output_dtype %d", (int)dt);
    return PLN_OK;
}

static pln_status quant_infer(pln_infer *inf, pln_error *err)
{
    const quant_attrs *a = (const quant_attrs *)inf->attrs;
    PLN_TRY(pln_infer_same(inf, err));
    inf->out[0].kind = PLN_KIND_TENSOR;
    inf->out[0].dtype = pln_infer_has(inf, 2) ? pln_infer_dtype(inf, 2)
                        : a->output_dtype     ? (pln_dtype)a->output_dtype
                                              : PLN_DT_U8;
    return check_type(inf, err);
}

static pln_status dequant_infer(pln_infer *inf, pln_error *err)
{
    const quant_attrs *a = (const quant_attrs *)inf->attrs;
    const pln_dtype scale = pln_infer_dtype(inf, 1);
    PLN_TRY(pln_infer_same(inf, err));
    inf->out[0].kind = PLN_KIND_TENSOR;
    inf->out[0].dtype = a->output_dtype          ? (pln_dtype)a->output_dtype
                        : scale == PLN_DT_F8E8M0 ? PLN_DT_F32
                                                 : scale;
    return check_type(inf, err);
}

static pln_status dynamic_infer(pln_infer *inf, pln_error *err)
{
    PLN_TRY(pln_infer_same(inf, err));
    inf->out[0].kind = PLN_KIND_TENSOR;
    inf->out[0].dtype = PLN_DT_U8;
    pln_infer_set(inf, 1, PLN_DT_F32, pln_infer_shape(inf, 0));
    pln_infer_set(inf, 2, PLN_DT_U8, pln_infer_shape(inf, 0));
    return PLN_OK;
}

/* ---- versions ---------------------------------------------------------------------- */

/* A scale of one axis appeared in 13, saturate in 19, blocks and output_dtype in 21. */
static pln_status lower_13(pln_node *n, pln_error *err)
{
    const int rank =
        n->n_in > 1 && n->in[1] ? n->in[1]->type.shape.rank : PLN_RANK_UNKNOWN;
    if (rank != 0)
        return pln_lower_fail(n, err, "scales that are no scalar need version 13");
    pln_node_drop_attr(n, "axis");
    return PLN_OK;
}

static pln_status lower_19(pln_node *n, pln_error *err)
{
    return pln_lower_drop_int(n, "saturate", 1, err);
}

static pln_status lower_21(pln_node *n, pln_error *err)
{
    PLN_TRY(pln_lower_drop_int(n, "block_size", 0, err));
    return pln_lower_drop_int(n, "output_dtype", 0, err);
}

static pln_status lower_23(pln_node *n, pln_error *err)
{
    return pln_lower_drop_int(n, "precision", 0, err);
}

/* DequantizeLinear had no output_dtype before 23. */
static pln_status lower_dequant_23(pln_node *n, pln_error *err)
{
    return pln_lower_drop_int(n, "output_dtype", 0, err);
}

static const pln_version_change quant_versions[] = { { 13, NULL, lower_13 },
                                                     { 19, NULL, lower_19 },
                                                     { 21, NULL, lower_21 },
                                                     { 23, NULL, lower_23 },
                                                     { 0 } };
static const pln_version_change dequant_versions[] = {
    { 13, NULL, lower_13 }, { 21, NULL, lower_21 }, { 23, NULL, lower_dequant_23 }, { 0 }
};

#define QUANTIZED \
    "int8,uint8,int16,uint16," PLN_TS_F8 ",uint4,int4,float4e2m1,uint2,int2," PLN_TS_F6

const pln_op_desc pln_ops_quantize[] = {
    { .name = "QuantizeLinear",
      .expand = pln_expand_quantize,
      .domain = "",
      .since = 28,
      .in = { 2, 3 },
      .out = { 1, 1 },
      .traits = PLN_OP_QDQ,
      .types =
          "T1:float,float16,bfloat16,int32;T2:float,float16,bfloat16,int32,float8e8m0;"
          "T3:" QUANTIZED,
      .sig = "T1,T2,T3?->T3",
      .attrs = quant_spec,
      .attrs_size = sizeof(quant_attrs),
      .infer = quant_infer,
      .ref = quant_ref,
      .cpu = &quant_cpu,
      .versions = quant_versions },
    { .name = "DequantizeLinear",
      .expand = pln_expand_dequantize,
      .domain = "",
      .since = 28,
      .in = { 2, 3 },
      .out = { 1, 1 },
      .traits = PLN_OP_QDQ,
      .types = "T1:int32," QUANTIZED ";T2:float,float16,bfloat16,float8e8m0;"
               "T3:float,float16,bfloat16",
      .sig = "T1,T2,T1?->T3",
      .attrs = dequant_spec,
      .attrs_size = sizeof(quant_attrs),
      .infer = dequant_infer,
      .ref = dequant_ref,
      .cpu = &dequant_cpu,
      .versions = dequant_versions },
    { .name = "QuantizeLinear",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 2, 3 },
      .out = { 1, 1 },
      .traits = PLN_OP_QDQ,
      .types = "T1:float,float16;T2:int8,uint8,int16,uint16,int4,uint4",
      .sig = "T1,T1,T2?->T2",
      .attrs = ms_spec,
      .attrs_size = sizeof(quant_attrs),
      .infer = quant_infer,
      .ref = quant_ref,
      .cpu = &quant_cpu },
    { .name = "DequantizeLinear",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 2, 3 },
      .out = { 1, 1 },
      .traits = PLN_OP_QDQ,
      .types = "T1:int8,uint8,int16,uint16,int32,int4,uint4;T2:float,float16",
      .sig = "T1,T2,T1?->T2",
      .attrs = ms_spec,
      .attrs_size = sizeof(quant_attrs),
      .infer = dequant_infer,
      .ref = dequant_ref,
      .cpu = &dequant_cpu },
    { .name = "DynamicQuantizeLinear",
      .domain = "",
      .since = 11,
      .in = { 1, 1 },
      .out = { 3, 3 },
      .sig = "float->uint8,float,uint8",
      .infer = dynamic_infer,
      .ref = dynamic_ref },
    { .name = NULL },
};
