/* MatMulInteger, ConvInteger, QLinearMatMul and QLinearConv.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/int_product.h"
#include "kernels/nhwc.h"
#include "kernels/quant_fused.h"
#include "src/ir/numeric.h"
#include "src/util/size.h"

#include <math.h>

#define BYTES  "uint8,int8"
#define FLOAT8 "float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz"

static const pln_attr_spec conv_spec[] = { PLN_CONV_SPEC, PLN_A_END };

static const pln_tensor *input(const pln_call *c, uint32_t i)
{
    return pln_call_has(c, i) ? c->in[i] : NULL;
}

static pln_status fail_zero(const pln_call *c, uint32_t i, pln_error *err)
{
    return pln_call_fail(c, err, PLN_E_RUN, "input %u fits no dimension", i);
}

/* ---- MatMulInteger, ConvInteger -------------------------------------------------- */

static pln_status mm_int_infer(pln_infer *inf, pln_error *err)
{
    return pln_mm_infer(inf, 0, 1, false, false, PLN_DT_S32, err);
}

static pln_status mm_int_ref(pln_call *c, pln_error *err)
{
    pln_mm g;
    pln_zero az, bz;
    if (!pln_mm_set(&g, c->in[0], c->in[1], false, false))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    if (!pln_zero_set(&az, input(c, 2), g.m))
        return fail_zero(c, 2, err);
    if (!pln_zero_set(&bz, input(c, 3), g.n))
        return fail_zero(c, 3, err);
    return pln_int_mm_ref(c, &g, c->in[0], c->in[1], &az, &bz, c->out[0]->data);
}

static pln_status conv_int_infer(pln_infer *inf, pln_error *err)
{
    return pln_conv_infer(inf, 0, 1, false, PLN_DT_S32, err);
}

static void conv_int_cost(const pln_infer *inf, pln_cost *cost)
{
    pln_conv_cost(inf, 0, 1, false, cost);
}

/* The sums of a convolution with x, x_zero, w, w_zero at these inputs. */
static pln_status conv_sums(pln_call *c, const pln_conv_geom *g, const uint32_t at[4],
                            int32_t *acc, pln_error *err)
{
    pln_zero xz, wz;
    if (!pln_zero_set(&xz, input(c, at[1]), 1) || xz.batch != 1)
        return fail_zero(c, at[1], err);
    if (!pln_zero_set(&wz, input(c, at[3]), g->m) || wz.batch != 1)
        return fail_zero(c, at[3], err);
    return pln_int_conv_ref(c, g, c->in[at[0]], c->in[at[2]], &xz, &wz, acc);
}

static pln_status conv_int_ref(pln_call *c, pln_error *err)
{
    pln_conv_geom g;
    if (!pln_conv_geom_set(&g, c->attrs, false, c->in[0], c->in[1], c->out[0]))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    return conv_sums(c, &g, (const uint32_t[]){ 0, 2, 1, 3 }, c->out[0]->data, err);
}

/* ---- QLinear --------------------------------------------------------------------- */

static pln_status scratch_sums(pln_call *c, int64_t n, void **out, pln_error *err)
{
    size_t bytes;
    if (!pln_size_mul(&bytes, (size_t)n, sizeof(int32_t)))
        return pln_call_fail(c, err, PLN_E_LIMIT, "the result is too large");
    *out = pln_call_scratch(c, bytes);
    return *out ? PLN_OK : pln_oom(err);
}

/* Scale i of a tensor with one value or with n. */
static float scale_at(const pln_tensor *t, int64_t i)
{
    return (float)pln_tensor_get_f64(t, pln_tensor_size(t) > 1 ? i : 0);
}

static bool one_or(const pln_tensor *t, int64_t n)
{
    return pln_tensor_size(t) == 1 || pln_tensor_size(t) == n;
}

static pln_status qmm_infer(pln_infer *inf, pln_error *err)
{
    return pln_mm_infer(inf, 0, 3, false, false, pln_infer_dtype(inf, 7), err);
}

typedef struct requant {
    const pln_tensor *a_scale, *b_scale, *y_scale, *y_zero;
    int64_t rows, cols; /* of one matrix */
} requant;

/* Scales with a value for each matrix of the batch are taken by row as well. */
static bool requant_fits(const requant *q, int64_t all_rows)
{
    return (one_or(q->a_scale, q->rows) || one_or(q->a_scale, all_rows)) &&
           one_or(q->b_scale, q->cols) &&
           (one_or(q->y_scale, q->rows) || one_or(q->y_scale, all_rows)) &&
           (one_or(q->y_zero, q->rows) || one_or(q->y_zero, all_rows));
}

static int64_t row_index(const pln_tensor *t, int64_t r)
{
    const int64_t n = pln_tensor_size(t);
    return n > 0 ? r % n : 0;
}

static void requant_rows(const requant *q, const int32_t *acc, pln_tensor *y,
                         int64_t all_rows)
{
    uint8_t *out = y->data;
    const int flip = pln_byte_flip((pln_dtype)y->dtype);
    for (int64_t r = 0; r < all_rows; r++) {
        const float as = scale_at(q->a_scale, row_index(q->a_scale, r));
        const float ys = scale_at(q->y_scale, row_index(q->y_scale, r));
        const int32_t zero =
            (int32_t)pln_tensor_get_i64(q->y_zero, row_index(q->y_zero, r));
        for (int64_t j = 0; j < q->cols; j++) {
            const float s = as * scale_at(q->b_scale, j) / ys;
            const int64_t i = r * q->cols + j;
            out[i] = pln_quantize_byte((float)acc[i] * s, 1.0f, zero, flip);
        }
    }
}

/* float8 has no zero points to speak of: products in float, rounded once. */
static void float8_rows(const requant *q, const pln_mm *g, const pln_call *c)
{
    const uint8_t *a = c->in[0]->data, *b = c->in[3]->data;
    uint8_t *y = c->out[0]->data;
    const float az = (float)pln_tensor_get_f64(c->in[2], 0);
    const float bz = (float)pln_tensor_get_f64(c->in[5], 0);
    const float yz = (float)pln_tensor_get_f64(q->y_zero, 0);
    const pln_dtype da = (pln_dtype)c->in[0]->dtype, db = (pln_dtype)c->in[3]->dtype;
    for (int64_t r = 0; r < g->batch * g->m; r++) {
        int64_t ao, bo;
        pln_mm_offsets(g, r / g->m, &ao, &bo);
        const float as = scale_at(q->a_scale, row_index(q->a_scale, r));
        const float ys = scale_at(q->y_scale, row_index(q->y_scale, r));
        for (int64_t j = 0; j < g->n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < g->k; k++)
                sum +=
                    (double)(pln_f8_to_f32(da, a[ao + r % g->m * g->a_rs + k * g->a_cs]) -
                             az) *
                    (double)(pln_f8_to_f32(db, b[bo + k * g->b_rs + j * g->b_cs]) - bz);
            const float s = as * scale_at(q->b_scale, j) / ys;
            y[r * g->n + j] = pln_f32_to_f8((pln_dtype)c->out[0]->dtype,
                                            (float)sum * s + yz, true);
        }
    }
}

static bool is_byte(const pln_tensor *t)
{
    return t->dtype == PLN_DT_U8 || t->dtype == PLN_DT_S8;
}

static pln_status qmm_ref(pln_call *c, pln_error *err)
{
    pln_mm g;
    if (!pln_mm_set(&g, c->in[0], c->in[3], false, false))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    const requant q = { .a_scale = c->in[1], .b_scale = c->in[4], .y_scale = c->in[6],
                        .y_zero = c->in[7], .rows = g.m, .cols = g.n };
    const int64_t rows = g.batch * g.m;
    if (!requant_fits(&q, rows))
        return pln_call_fail(c, err, PLN_E_RUN, "a scale fits no dimension");
    if (pln_tensor_size(c->out[0]) == 0)
        return PLN_OK;
    const bool bytes = is_byte(c->in[0]) && is_byte(c->in[3]) && is_byte(c->out[0]);
    if (!bytes && (is_byte(c->in[0]) || is_byte(c->in[3]) || is_byte(c->out[0])))
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "8-bit integers with float8");
    if (!bytes) {
        if (pln_tensor_size(c->in[2]) != 1 || pln_tensor_size(c->in[5]) != 1)
            return fail_zero(c, 2, err);
        float8_rows(&q, &g, c);
        return PLN_OK;
    }
    pln_zero az, bz;
    if (!pln_zero_set(&az, c->in[2], g.m))
        return fail_zero(c, 2, err);
    if (!pln_zero_set(&bz, c->in[5], g.n))
        return fail_zero(c, 5, err);
    void *acc;
    PLN_TRY(scratch_sums(c, pln_tensor_size(c->out[0]), &acc, err));
    PLN_TRY(pln_int_mm_ref(c, &g, c->in[0], c->in[3], &az, &bz, acc));
    requant_rows(&q, acc, c->out[0], rows);
    return PLN_OK;
}

static pln_status qconv_infer(pln_infer *inf, pln_error *err)
{
    return pln_conv_infer(inf, 0, 3, false, pln_infer_dtype(inf, 7), err);
}

static void qconv_cost(const pln_infer *inf, pln_cost *cost)
{
    pln_conv_cost(inf, 0, 3, false, cost);
}

static pln_status qconv_ref(pln_call *c, pln_error *err)
{
    pln_conv_geom g;
    if (!pln_conv_geom_set(&g, c->attrs, false, c->in[0], c->in[3], c->out[0]))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    const pln_tensor *bias = input(c, 8);
    if ((bias && pln_tensor_size(bias) != g.m) || !one_or(c->in[4], g.m) ||
        pln_tensor_size(c->in[1]) != 1 || pln_tensor_size(c->in[6]) != 1 ||
        pln_tensor_size(c->in[7]) != 1)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "a scale, zero point or bias has a wrong size");
    const int64_t n = pln_tensor_size(c->out[0]);
    if (n == 0)
        return PLN_OK;
    void *sums;
    PLN_TRY(scratch_sums(c, n, &sums, err));
    PLN_TRY(conv_sums(c, &g, (const uint32_t[]){ 0, 2, 3, 5 }, sums, err));
    const int32_t *acc = sums, *b = bias ? bias->data : NULL;
    uint8_t *y = c->out[0]->data;
    const int flip = pln_byte_flip((pln_dtype)c->out[0]->dtype);
    const int32_t zero = (int32_t)pln_tensor_get_i64(c->in[7], 0);
    for (int64_t p = 0; p < g.n * g.m; p++) {
        const int64_t m = p % g.m;
        const float s =
            scale_at(c->in[1], 0) * scale_at(c->in[4], m) / scale_at(c->in[6], 0);
        for (int64_t i = p * g.out_size; i < (p + 1) * g.out_size; i++) {
            const uint32_t v = (uint32_t)acc[i] + (b ? (uint32_t)b[m] : 0);
            y[i] = pln_quantize_byte((float)(int32_t)v * s, 1.0f, zero, flip);
        }
    }
    return PLN_OK;
}

/* ---- com.microsoft's QLinearConv: perhaps with the channels last ----------------- */

typedef struct ms_conv_attrs {
    pln_conv_attrs conv;
    int64_t channels_last;
} ms_conv_attrs;

static const pln_attr_spec ms_conv_spec[] = { PLN_CONV_SPEC,
                                              PLN_A_INT(ms_conv_attrs, channels_last, 0),
                                              PLN_A_END };

static bool channels_last(const void *attrs)
{
    return ((const ms_conv_attrs *)attrs)->channels_last != 0;
}

static pln_status ms_conv_infer(pln_infer *inf, pln_error *err)
{
    return channels_last(inf->attrs) ? pln_nhwc_infer(inf, 1, qconv_infer, err)
                                     : qconv_infer(inf, err);
}

static pln_status ms_conv_ref(pln_call *c, pln_error *err)
{
    return channels_last(c->attrs) ? pln_nhwc_run(c, 1, qconv_ref, err)
                                   : qconv_ref(c, err);
}

static pln_status ms_conv_prepare(pln_prep *p, pln_error *err)
{
    return channels_last(p->attrs) ? pln_nhwc_prepare(p, 1, &pln_impl_int_conv, err)
                                   : pln_impl_int_conv.prepare(p, err);
}

static pln_status ms_conv_run(pln_call *c, pln_error *err)
{
    return channels_last(c->attrs) ? pln_nhwc_run(c, 1, pln_impl_int_conv.run, err)
                                   : pln_impl_int_conv.run(c, err);
}

static void ms_conv_release(void *state)
{
    pln_impl_int_conv.release(state);
}

static const pln_impl ms_conv_cpu = { "conv_int", ms_conv_prepare, ms_conv_run,
                                      ms_conv_release };

#define CONV_ATTRS \
    .attrs = conv_spec, .attrs_size = sizeof(pln_conv_attrs), .check = pln_conv_check

const pln_op_desc pln_ops_qlinear[] = {
    { .name = "MatMulInteger", .domain = "", .since = 10, .in = { 2, 4 }, .out = { 1, 1 },
      .types = "T1:" BYTES ";T2:" BYTES, .sig = "T1,T2,T1?,T2?->int32",
      .infer = mm_int_infer, .ref = mm_int_ref, .cpu = &pln_impl_int_matmul,
      .cost = pln_int_mm_cost },
    { .name = "ConvInteger", .domain = "", .since = 10, .in = { 2, 4 }, .out = { 1, 1 },
      .types = "T1:" BYTES ";T2:" BYTES, .sig = "T1,T2,T1?,T2?->int32", CONV_ATTRS,
      .infer = conv_int_infer, .ref = conv_int_ref, .cpu = &pln_impl_int_conv,
      .cost = conv_int_cost },
    { .name = "QLinearMatMul", .domain = "", .since = 21, .in = { 8, 8 }, .out = { 1, 1 },
      .types = "TS:float,float16,bfloat16;T1:" BYTES "," FLOAT8 ";T2:" BYTES "," FLOAT8
               ";T3:" BYTES "," FLOAT8,
      .sig = "T1,TS,T1,T2,TS,T2,TS,T3->T3", .infer = qmm_infer, .ref = qmm_ref,
      .cpu = &pln_impl_int_matmul, .cost = pln_int_mm_cost },
    { .name = "QLinearConv", .domain = "", .since = 10, .in = { 8, 9 }, .out = { 1, 1 },
      .types = "T1:" BYTES ";T2:" BYTES ";T3:" BYTES,
      .sig = "T1,float,T1,T2,float,T2,float,T3,int32?->T3", CONV_ATTRS,
      .infer = qconv_infer,
      .ref = qconv_ref, .cpu = &pln_impl_int_conv, .cost = qconv_cost },
    { .name = "QLinearConv", .domain = "com.microsoft", .since = 1, .in = { 8, 9 },
      .out = { 1, 1 }, .types = "T1:" BYTES ";T2:" BYTES ";T3:" BYTES,
      .sig = "T1,float,T1,T2,float,T2,float,T3,int32?->T3", .attrs = ms_conv_spec,
      .attrs_size = sizeof(ms_conv_attrs), .check = pln_conv_check,
      .infer = ms_conv_infer,
      .ref = ms_conv_ref, .cpu = &ms_conv_cpu, .cost = qconv_cost },
    { .name = NULL },
};
