/* planish.QMatMul, QConv and DynamicQuantMatMul: rows and reference kernels.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/quant_fused.h"
#include "kernels/quantize.h"
#include "kernels/vec.h"
#include "src/util/size.h"

#include <string.h>

const pln_q_inputs pln_q_inputs_static = { .a = 0, .b = 1, .a_scale = 2, .a_zero = 3,
                                           .b_scale = 4, .b_zero = 5, .bias = 6,
                                           .y_scale = 7,
                                           .y_zero = 8, .operands = 9 };
const pln_q_inputs pln_q_inputs_dynamic = { .a = 0, .b = 1, .a_scale = PLN_Q_NONE,
                                            .a_zero = PLN_Q_NONE, .b_scale = 2,
                                            .b_zero = 3,
                                            .bias = 4, .y_scale = PLN_Q_NONE,
                                            .y_zero = PLN_Q_NONE, .operands = 5,
                                            .dynamic = true };
static const pln_q_inputs integer = { .a = 0, .b = 1, .a_scale = PLN_Q_NONE, .a_zero = 2,
                                      .b_scale = PLN_Q_NONE, .b_zero = 3,
                                      .bias = PLN_Q_NONE,
                                      .y_scale = PLN_Q_NONE, .y_zero = PLN_Q_NONE,
                                      .operands = PLN_Q_NONE, .sums = true };
const pln_q_inputs pln_q_inputs_qlinear = { .a = 0, .a_scale = 1, .a_zero = 2, .b = 3,
                                            .b_scale = 4, .b_zero = 5, .y_scale = 6,
                                            .y_zero = 7, .bias = 8,
                                            .operands = PLN_Q_NONE,
                                            .once = true };
const pln_q_inputs pln_q_inputs_to_float = { .a = 0, .b = 1, .a_scale = 2, .b_scale = 3,
                                             .a_zero = 4, .b_zero = 5, .bias = 6,
                                             .y_scale = PLN_Q_NONE, .y_zero = PLN_Q_NONE,
                                             .operands = PLN_Q_NONE };
const pln_q_inputs pln_q_inputs_gemm = { .a = 0, .a_scale = 1, .a_zero = 2, .b = 3,
                                         .b_scale = 4, .b_zero = 5, .bias = 6,
                                         .y_scale = 7,
                                         .y_zero = 8, .operands = PLN_Q_NONE,
                                         .once = true,
                                         .has_alpha = true };

static const struct {
    const char *domain, *op;
    const pln_q_inputs *inputs;
} inputs_by_op[] = {
    { "", "MatMulInteger", &integer },
    { "", "ConvInteger", &integer },
    { "", "QLinearMatMul", &pln_q_inputs_qlinear },
    { "", "QLinearConv", &pln_q_inputs_qlinear },
    { "planish", "DynamicQuantMatMul", &pln_q_inputs_dynamic },
    { "com.microsoft", "DynamicQuantizeMatMul", &pln_q_inputs_dynamic },
    { "com.microsoft", "MatMulIntegerToFloat", &pln_q_inputs_to_float },
    { "com.microsoft", "QGemm", &pln_q_inputs_gemm },
    { "com.microsoft", "QLinearConv", &pln_q_inputs_qlinear },
};

const pln_q_inputs *pln_q_inputs_of(const pln_node *n)
{
    for (size_t i = 0; i < sizeof inputs_by_op / sizeof inputs_by_op[0]; i++) {
        if (strcmp(n->op_type, inputs_by_op[i].op) == 0 &&
            strcmp(n->domain, inputs_by_op[i].domain) == 0)
            return inputs_by_op[i].inputs;
    }
    return &pln_q_inputs_static;
}

static const pln_attr_spec mm_spec[] = {
    PLN_A_INT(pln_qmm_attrs, transB, 0),
    PLN_A_POSTOPS(pln_qmm_attrs, post),
    PLN_A_END,
};

static const pln_attr_spec conv_spec[] = {
    PLN_CONV_SPEC,
    PLN_A_POSTOPS(pln_conv_attrs, post),
    PLN_A_END,
};

static pln_status check_mm(pln_node *n, void *attrs, pln_error *err)
{
    const pln_qmm_attrs *at = attrs;
    pln_postop_list list;
    return pln_postops_parse(n, &at->post, (int)pln_q_inputs_of(n)->operands, &list, err);
}

static pln_status check_conv(pln_node *n, void *attrs, pln_error *err)
{
    const pln_conv_attrs *at = attrs;
    pln_postop_list list;
    PLN_TRY(pln_conv_check(n, attrs, err));
    return pln_postops_parse(n, &at->post, (int)pln_q_inputs_static.operands, &list, err);
}

/* float without y_scale, else the type of y_zero. */
static pln_dtype out_dtype(const pln_infer *inf)
{
    if (!pln_infer_has(inf, pln_q_inputs_static.y_scale))
        return PLN_DT_F32;
    return pln_infer_has(inf, pln_q_inputs_static.y_zero)
               ? pln_infer_dtype(inf, pln_q_inputs_static.y_zero)
               : PLN_DT_U8;
}

static pln_status qmm_infer(pln_infer *inf, pln_error *err)
{
    const pln_qmm_attrs *at = inf->attrs;
    return pln_mm_infer(inf, 0, 1, false, at->transB != 0, out_dtype(inf), err);
}

pln_status pln_dynamic_mm_infer(pln_infer *inf, pln_error *err)
{
    const pln_qmm_attrs *at = inf->attrs; /* com.microsoft's has none */
    return pln_mm_infer(inf, 0, 1, false, at && at->transB != 0, PLN_DT_F32, err);
}

static pln_status qconv_infer(pln_infer *inf, pln_error *err)
{
    return pln_conv_infer(inf, 0, 1, false, out_dtype(inf), err);
}

void pln_int_mm_cost(const pln_infer *inf, pln_cost *cost)
{
    const int rank = pln_infer_rank(inf, 0);
    const pln_dim k = rank > 0 ? pln_infer_dim(inf, 0, rank - 1) : pln_dim_unknown();
    pln_product_cost(inf, pln_dim_is_known(k) ? (double)k.value : 1, cost);
}

static void conv_cost(const pln_infer *inf, pln_cost *cost)
{
    pln_conv_cost(inf, 0, 1, false, cost);
}

/* ---- what the kernels share ------------------------------------------------------ */

static pln_status fail_size(const pln_call *c, uint32_t i, pln_error *err)
{
    return pln_call_fail(c, err, PLN_E_RUN, "input %u has a size that fits nothing", i);
}

pln_status pln_q_dequant(const pln_call *c, const pln_q_inputs *q, int64_t n,
                         pln_dequant *out, pln_error *err)
{
    *out = (pln_dequant){ .a_scale = 1.0f };
    const pln_tensor *as = pln_q_get(c, q->a_scale), *bs = pln_q_get(c, q->b_scale);
    const pln_tensor *bias = pln_q_get(c, q->bias);
    if (as && pln_tensor_size(as) != 1)
        return fail_size(c, q->a_scale, err);
    if (as)
        out->a_scale = PLN_DATA(const float, as)[0];
    const int64_t n_scales = bs ? pln_tensor_size(bs) : 0;
    if (!bs || (n_scales != 1 && n_scales != n))
        return fail_size(c, q->b_scale, err);
    out->b_scale = bs->data;
    out->b_step = n_scales > 1;
    if (!bias)
        return PLN_OK;
    const int64_t n_bias = pln_tensor_size(bias);
    if (n_bias != 1 && n_bias != n)
        return fail_size(c, q->bias, err);
    out->bias_step = n_bias > 1;
    if (bias->dtype == PLN_DT_S32)
        out->bias_int = bias->data;
    else
        out->bias = bias->data;
    return PLN_OK;
}

pln_status pln_q_store(const pln_call *c, const pln_q_inputs *q, const float *f,
                       pln_error *err)
{
    const pln_tensor *scale = pln_q_get(c, q->y_scale), *zero = pln_q_get(c, q->y_zero);
    if (pln_tensor_size(scale) != 1)
        return fail_size(c, q->y_scale, err);
    if (zero && pln_tensor_size(zero) != 1)
        return fail_size(c, q->y_zero, err);
    uint8_t *y = c->out[0]->data;
    const int flip = pln_byte_flip((pln_dtype)c->out[0]->dtype);
    const int32_t z = zero ? (int32_t)pln_tensor_get_i64(zero, 0) : 0;
    const float s = PLN_DATA(const float, scale)[0];
    for (int64_t i = 0; i < pln_tensor_size(c->out[0]); i++)
        y[i] = pln_quantize_byte(f[i], s, z, flip);
    return PLN_OK;
}

void pln_q_dynamic(const float *x, int64_t n, uint8_t *y, float *scale, uint8_t *zero)
{
    const pln_vec_fns *v = pln_vec();
    int32_t z;
    pln_dynamic_scale(n ? v->min_of(x, n) : 0, n ? v->max_of(x, n) : 0, scale, &z);
    *zero = (uint8_t)z;
    v->quant_u8(y, x, n, *scale, z);
}

/* Memory for the sums: the output's own where that is float, else scratch. */
static pln_status sums_memory(pln_call *c, void **out, pln_error *err)
{
    size_t bytes;
    if (c->out[0]->dtype == PLN_DT_F32) {
        *out = c->out[0]->data;
        return PLN_OK;
    }
    if (!pln_size_mul(&bytes, (size_t)pln_tensor_size(c->out[0]), sizeof(int32_t)))
        return pln_call_fail(c, err, PLN_E_LIMIT, "the result is too large");
    *out = pln_call_scratch(c, bytes);
    return *out ? PLN_OK : pln_oom(err);
}

static pln_status finish(pln_call *c, const pln_q_inputs *q, const pln_postop_list *list,
                         void *sums, pln_error *err)
{
    pln_tensor f = *c->out[0];
    f.dtype = PLN_DT_F32;
    f.data = sums;
    f.borrowed = true;
    PLN_TRY(pln_postops_apply(c, list, &f, err));
    return c->out[0]->dtype == PLN_DT_F32 ? PLN_OK : pln_q_store(c, q, sums, err);
}

/* a x b with these zero points, to the node's result. */
static pln_status mm_with(pln_call *c, const pln_q_inputs *q, const pln_tensor *a,
                          const pln_tensor *a_zero, float a_scale, pln_error *err)
{
    const pln_qmm_attrs *at = c->attrs; /* NULL: of com.microsoft */
    pln_postop_list list = { .n = 0 };
    pln_mm g;
    pln_zero az, bz;
    pln_dequant d;
    void *sums;
    if (at)
        PLN_TRY(pln_postops_parse(c->node, &at->post, (int)q->operands, &list, err));
    if (!pln_mm_set(&g, a, c->in[q->b], false, at && at->transB != 0))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    if (!pln_zero_set(&az, a_zero, 1))
        return fail_size(c, q->a_zero, err);
    if (!pln_zero_set(&bz, pln_q_get(c, q->b_zero), g.n) || bz.batch != 1)
        return fail_size(c, q->b_zero, err);
    PLN_TRY(pln_q_dequant(c, q, g.n, &d, err));
    if (q->a_scale == PLN_Q_NONE)
        d.a_scale = a_scale;
    if (pln_tensor_size(c->out[0]) == 0)
        return PLN_OK;
    PLN_TRY(sums_memory(c, &sums, err));
    PLN_TRY(pln_int_mm_ref(c, &g, a, c->in[q->b], &az, &bz, sums));
    pln_dequant_apply(c, &d, sums, g.batch * g.m, g.n, 0);
    return finish(c, q, &list, sums, err);
}

static pln_status qmm_ref(pln_call *c, pln_error *err)
{
    const pln_q_inputs *q = &pln_q_inputs_static;
    return mm_with(c, q, c->in[q->a], pln_q_get(c, q->a_zero), 1.0f, err);
}

pln_status pln_dynamic_mm_ref(pln_call *c, pln_error *err)
{
    const int64_t n = pln_tensor_size(c->in[0]);
    uint8_t zero, *bytes = pln_call_scratch(c, (size_t)n + 1);
    float scale;
    if (!bytes)
        return pln_oom(err);
    pln_q_dynamic(c->in[0]->data, n, bytes, &scale, &zero);
    pln_tensor a = *c->in[0];
    a.dtype = PLN_DT_U8;
    a.data = bytes;
    a.borrowed = true;
    pln_tensor z = { .kind = PLN_KIND_TENSOR, .dtype = PLN_DT_U8, .borrowed = true,
                     .data = &zero };
    return mm_with(c, &pln_q_inputs_dynamic, &a, &z, scale, err);
}

static pln_status qconv_ref(pln_call *c, pln_error *err)
{
    const pln_conv_attrs *at = c->attrs;
    const pln_q_inputs *q = &pln_q_inputs_static;
    pln_postop_list list;
    pln_conv_geom g;
    pln_zero xz, wz;
    pln_dequant d;
    void *sums;
    PLN_TRY(pln_postops_parse(c->node, &at->post, (int)q->operands, &list, err));
    if (!pln_conv_geom_set(&g, at, false, c->in[0], c->in[1], c->out[0]))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    if (!pln_zero_set(&xz, pln_q_get(c, q->a_zero), 1) || xz.batch != 1)
        return fail_size(c, q->a_zero, err);
    if (!pln_zero_set(&wz, pln_q_get(c, q->b_zero), g.m) || wz.batch != 1)
        return fail_size(c, q->b_zero, err);
    PLN_TRY(pln_q_dequant(c, q, g.m, &d, err));
    if (pln_tensor_size(c->out[0]) == 0)
        return PLN_OK;
    PLN_TRY(sums_memory(c, &sums, err));
    PLN_TRY(pln_int_conv_ref(c, &g, c->in[0], c->in[1], &xz, &wz, sums));
    pln_dequant_apply(c, &d, sums, g.n * g.m, g.out_size, g.m);
    return finish(c, q, &list, sums, err);
}

#define BYTES \
    "T1:uint8,int8;T2:uint8,int8;TB:int32,float;T3:uint8,int8;TY:float,uint8,int8"
#define STATIC                                                                   \
    .domain = "planish", .since = 1, .in = { 5, PLN_VARIADIC }, .out = { 1, 1 }, \
    .types = BYTES, .sig = "T1,T2,float,T1?,float,T2?,TB?,float?,T3?,float*->TY"

const pln_op_desc pln_ops_quant_fused[] = {
    { .name = "QMatMul", STATIC, .attrs = mm_spec, .attrs_size = sizeof(pln_qmm_attrs),
      .check = check_mm, .infer = qmm_infer, .ref = qmm_ref, .cpu = &pln_impl_int_matmul,
      .cost = pln_int_mm_cost },
    { .name = "QConv", STATIC, .attrs = conv_spec, .attrs_size = sizeof(pln_conv_attrs),
      .check = check_conv, .infer = qconv_infer, .ref = qconv_ref,
      .cpu = &pln_impl_int_conv, .cost = conv_cost },
    { .name = "DynamicQuantMatMul", .domain = "planish", .since = 1,
      .in = { 3, PLN_VARIADIC },
      .out = { 1, 1 }, .types = "T2:uint8,int8;TB:int32,float",
      .sig = "float,T2,float,T2?,TB?,float*->float", .attrs = mm_spec,
      .attrs_size = sizeof(pln_qmm_attrs), .check = check_mm,
      .infer = pln_dynamic_mm_infer,
      .ref = pln_dynamic_mm_ref, .cpu = &pln_impl_int_matmul, .cost = pln_int_mm_cost },
    { .name = NULL },
};
