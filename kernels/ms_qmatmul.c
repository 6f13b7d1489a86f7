/* Integer matrix products of com.microsoft: DynamicQuantizeMatMul, MatMulIntegerToFloat,
 * QGemm, MatMulInteger16. SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "kernels/quant_fused.h"
#include "src/util/size.h"

static pln_status fail_size(const pln_call *c, uint32_t i, pln_error *err)
{
    return pln_call_fail(c, err, PLN_E_RUN, "input %u has a size that fits nothing", i);
}

/* One value, one for each column, or one for each column of each matrix. */
static bool by_column(const pln_tensor *t, const pln_mm *g)
{
    const int64_t n = pln_tensor_size(t);
    return n == 1 || n == g->n || n == g->n * g->batch;
}

static double column_value(const pln_tensor *t, const pln_mm *g, int64_t batch, int64_t j)
{
    const int64_t n = pln_tensor_size(t);
    return pln_tensor_get_f64(t, n == 1 ? 0 : n == g->n ? j : batch * g->n + j);
}

/* The exact sums of the node's product in scratch memory. */
static pln_status sums_of(pln_call *c, const pln_q_inputs *q, const pln_mm *g,
                          int32_t **out, pln_error *err)
{
    pln_zero az, bz;
    size_t bytes;
    const pln_tensor *as = c->in[q->a_scale], *bs = c->in[q->b_scale];
    if (pln_tensor_size(as) != 1)
        return fail_size(c, q->a_scale, err);
    if (!by_column(bs, g))
        return fail_size(c, q->b_scale, err);
    if (!pln_zero_set(&az, pln_q_get(c, q->a_zero), 1) || az.batch != 1)
        return fail_size(c, q->a_zero, err);
    if (!pln_zero_set(&bz, pln_q_get(c, q->b_zero), g->n))
        return fail_size(c, q->b_zero, err);
    if (!pln_size_mul(&bytes, (size_t)pln_tensor_size(c->out[0]) + 1, sizeof(int32_t)))
        return pln_call_fail(c, err, PLN_E_LIMIT, "the result is too large");
    if (!(*out = pln_call_scratch(c, bytes)))
        return pln_oom(err);
    if (pln_tensor_size(c->out[0]) == 0)
        return PLN_OK;
    return pln_int_mm_ref(c, g, c->in[q->a], c->in[q->b], &az, &bz, *out);
}

/* ---- MatMulIntegerToFloat -------------------------------------------------------- */

static pln_status to_float_infer(pln_infer *inf, pln_error *err)
{
    return pln_mm_infer(inf, 0, 1, false, false, pln_infer_dtype(inf, 2), err);
}

static pln_status to_float_ref(pln_call *c, pln_error *err)
{
    const pln_q_inputs *q = &pln_q_inputs_to_float;
    const pln_tensor *bias = pln_q_get(c, q->bias);
    pln_mm g;
    int32_t *sums;
    if (!pln_mm_set(&g, c->in[q->a], c->in[q->b], false, false))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    if (bias && pln_tensor_size(bias) != g.n)
        return fail_size(c, q->bias, err);
    PLN_TRY(sums_of(c, q, &g, &sums, err));
    const float as = (float)pln_tensor_get_f64(c->in[q->a_scale], 0);
    for (int64_t i = 0, n = pln_tensor_size(c->out[0]); i < n; i++) {
        const int64_t j = i % g.n, batch = i / (g.m * g.n);
        float f =
            (float)sums[i] * (as * (float)column_value(c->in[q->b_scale], &g, batch, j));
        if (bias)
            f += (float)pln_tensor_get_f64(bias, j);
        pln_tensor_set_f64(c->out[0], i, f);
    }
    return PLN_OK;
}

/* ---- QGemm ----------------------------------------------------------------------- */

static const pln_attr_spec gemm_spec[] = {
    PLN_A_FLOAT(pln_qmm_attrs, alpha, 1.0f),
    PLN_A_INT(pln_qmm_attrs, transA, 0),
    PLN_A_INT(pln_qmm_attrs, transB, 0),
    PLN_A_END,
};

static pln_status gemm_infer(pln_infer *inf, pln_error *err)
{
    const pln_qmm_attrs *at = inf->attrs;
    const pln_q_inputs *q = &pln_q_inputs_gemm;
    const bool bytes = pln_infer_has(inf, q->y_scale);
    const pln_dtype given = pln_infer_has(inf, q->y_zero)
                                ? pln_infer_dtype(inf, q->y_zero)
                                : pln_infer_dtype(inf, q->a);
    for (uint32_t i = 0; i <= q->b; i += q->b) {
        const int rank = pln_infer_rank(inf, i);
        if (rank != PLN_RANK_UNKNOWN && rank != 2)
            return pln_infer_fail(inf, err, "input %u has rank %d, want 2", i, rank);
    }
    return pln_mm_infer(inf, q->a, q->b, at->transA != 0, at->transB != 0,
                        bytes ? given : PLN_DT_F32, err);
}

static pln_status gemm_ref(pln_call *c, pln_error *err)
{
    const pln_q_inputs *q = &pln_q_inputs_gemm;
    const pln_qmm_attrs *at = c->attrs;
    const pln_tensor *addend = pln_q_get(c, q->bias), *ys = pln_q_get(c, q->y_scale);
    const pln_tensor *yz = pln_q_get(c, q->y_zero);
    pln_mm g;
    int32_t *sums;
    if (!pln_mm_set(&g, c->in[q->a], c->in[q->b], at->transA != 0, at->transB != 0))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    if (addend && !pln_mm_set_addend(&g, addend))
        return fail_size(c, q->bias, err);
    if ((ys && pln_tensor_size(ys) != 1) || (yz && pln_tensor_size(yz) != 1))
        return fail_size(c, q->y_scale, err);
    PLN_TRY(sums_of(c, q, &g, &sums, err));
    const float as = at->alpha * (float)pln_tensor_get_f64(c->in[q->a_scale], 0);
    const float out = ys ? (float)pln_tensor_get_f64(ys, 0) : 1.0f;
    const int32_t zero = yz ? (int32_t)pln_tensor_get_i64(yz, 0) : 0;
    const int flip = pln_byte_flip((pln_dtype)c->out[0]->dtype);
    for (int64_t i = 0, n = pln_tensor_size(c->out[0]); i < n; i++) {
        const int64_t row = i / g.n, j = i % g.n;
        uint32_t v = (uint32_t)sums[i];
        if (addend)
            v += (uint32_t)PLN_DATA(const int32_t, addend)[row * g.c_rs + j * g.c_cs];
        const float s = as * (float)column_value(c->in[q->b_scale], &g, 0, j);
        if (ys)
            PLN_DATA(uint8_t, c->out[0])
        [i] = pln_quantize_byte((float)(int32_t)v * (s / out), 1.0f, zero, flip);
        else PLN_DATA(float, c->out[0])[i] = (float)(int32_t)v * s;
    }
    return PLN_OK;
}

static void gemm_cost(const pln_infer *inf, pln_cost *cost)
{
    const pln_qmm_attrs *at = inf->attrs;
    const pln_dim k = pln_infer_rank(inf, 0) == 2
                          ? pln_infer_dim(inf, 0, at->transA ? 0 : 1)
                          : pln_dim_unknown();
    pln_product_cost(inf, pln_dim_is_known(k) ? (double)k.value : 1, cost);
}

/* ---- MatMulInteger16 ------------------------------------------------------------- */

static pln_status mm16_infer(pln_infer *inf, pln_error *err)
{
    const bool u =
        pln_infer_dtype(inf, 0) == PLN_DT_U16 && pln_infer_dtype(inf, 1) == PLN_DT_U16;
    return pln_mm_infer(inf, 0, 1, false, false, u ? PLN_DT_U32 : PLN_DT_S32, err);
}

static int64_t value16(const pln_tensor *t, int64_t i)
{
    return t->dtype == PLN_DT_S16 ? PLN_DATA(const int16_t, t)[i]
                                  : PLN_DATA(const uint16_t, t)[i];
}

/* Sums wrap at 32 bits. */
static pln_status mm16_ref(pln_call *c, pln_error *err)
{
    pln_mm g;
    if (!pln_mm_set(&g, c->in[0], c->in[1], false, false))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    uint32_t *y = c->out[0]->data;
    for (int64_t i = 0, n = pln_tensor_size(c->out[0]); i < n; i++) {
        const int64_t row = i / g.n, j = i % g.n;
        int64_t a, b;
        uint32_t sum = 0;
        pln_mm_offsets(&g, row / g.m, &a, &b);
        a += row % g.m * g.a_rs;
        b += j * g.b_cs;
        for (int64_t k = 0; k < g.k; k++)
            sum += (uint32_t)(value16(c->in[0], a + k * g.a_cs) *
                              value16(c->in[1], b + k * g.b_rs));
        y[i] = sum;
    }
    return PLN_OK;
}

#define BYTES "uint8,int8"
#define MS    .domain = "com.microsoft", .since = 1, .out = { 1, 1 }

const pln_op_desc pln_ops_ms_qmatmul[] = {
    { MS, .name = "DynamicQuantizeMatMul", .in = { 3, 5 }, .types = "T2:" BYTES,
      .sig = "float,T2,float,T2?,float?->float", .infer = pln_dynamic_mm_infer,
      .ref = pln_dynamic_mm_ref, .cpu = &pln_impl_int_matmul, .cost = pln_int_mm_cost },
    { MS, .name = "MatMulIntegerToFloat", .in = { 4, 7 },
      .types = "T1:" BYTES ";T2:" BYTES ";T3:float,float16",
      .sig = "T1,T2,T3,T3,T1?,T2?,T3?->T3", .infer = to_float_infer, .ref = to_float_ref,
      .cpu = &pln_impl_int_matmul, .cost = pln_int_mm_cost },
    { MS, .name = "QGemm", .in = { 6, 9 },
      .types = "TA:" BYTES ";TB:" BYTES ";TYZ:" BYTES ";TY:float," BYTES,
      .sig = "TA,float,TA,TB,float,TB,int32?,float?,TYZ?->TY", .attrs = gemm_spec,
      .attrs_size = sizeof(pln_qmm_attrs), .infer = gemm_infer, .ref = gemm_ref,
      .cpu = &pln_impl_int_matmul, .cost = gemm_cost },
    { MS, .name = "MatMulInteger16", .in = { 2, 2 },
      .types = "T1:int16,uint16;T2:int16,uint16;T3:int32,uint32", .sig = "T1,T2->T3",
      .infer = mm16_infer, .ref = mm16_ref, .cost = pln_int_mm_cost },
    { .name = NULL },
};
