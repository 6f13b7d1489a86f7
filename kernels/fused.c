/* planish.FusedMatMul, FusedGemm, FusedConv, FusedConvTranspose: a product and what
 * follows it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/fused.h"
#include "kernels/conv_cpu.h"
#include "kernels/matmul_cpu.h"

#define FIRST_OPERAND 3

static const pln_attr_spec mm_spec[] = {
    PLN_A_FLOAT(pln_fused_mm_attrs, alpha, 1.0f),
    PLN_A_FLOAT(pln_fused_mm_attrs, beta, 1.0f),
    PLN_A_INT(pln_fused_mm_attrs, transA, 0),
    PLN_A_INT(pln_fused_mm_attrs, transB, 0),
    PLN_A_POSTOPS(pln_fused_mm_attrs, post),
    PLN_A_END,
};

static const pln_attr_spec conv_spec[] = {
    PLN_CONV_SPEC,
    PLN_A_POSTOPS(pln_conv_attrs, post),
    PLN_A_END,
};

static const pln_attr_spec conv_transpose_spec[] = {
    PLN_CONV_TRANSPOSE_SPEC,
    PLN_A_POSTOPS(pln_conv_attrs, post),
    PLN_A_END,
};

static pln_status check_mm(pln_node *n, void *attrs, pln_error *err)
{
    const pln_fused_mm_attrs *at = attrs;
    pln_postop_list list;
    return pln_postops_parse(n, &at->post, FIRST_OPERAND, &list, err);
}

static pln_status check_conv(pln_node *n, void *attrs, pln_error *err)
{
    const pln_conv_attrs *at = attrs;
    pln_postop_list list;
    PLN_TRY(pln_conv_check(n, attrs, err));
    return pln_postops_parse(n, &at->post, FIRST_OPERAND, &list, err);
}

static pln_status matmul_infer(pln_infer *inf, pln_error *err)
{
    const pln_fused_mm_attrs *at = inf->attrs;
    return pln_mm_infer(inf, 0, 1, at->transA != 0, at->transB != 0, PLN_DT_F32, err);
}

static pln_status gemm_infer(pln_infer *inf, pln_error *err)
{
    const pln_fused_mm_attrs *at = inf->attrs;
    return pln_gemm_infer(inf, at->transA != 0, at->transB != 0, err);
}

static pln_status conv_infer(pln_infer *inf, pln_error *err)
{
    return pln_conv_infer(inf, 0, 1, false, PLN_DT_F32, err);
}

static pln_status conv_transpose_infer(pln_infer *inf, pln_error *err)
{
    return pln_conv_infer(inf, 0, 1, true, PLN_DT_F32, err);
}

static void mm_cost(const pln_infer *inf, pln_cost *cost)
{
    const pln_fused_mm_attrs *at = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    pln_dim k = pln_dim_unknown();
    if (rank > 0)
        k = pln_infer_dim(inf, 0, rank > 1 && at->transA ? rank - 2 : rank - 1);
    pln_product_cost(inf, pln_dim_is_known(k) ? (double)k.value : 1, cost);
}

static void conv_cost(const pln_infer *inf, pln_cost *cost)
{
    pln_conv_cost(inf, 0, 1, false, cost);
}

static void conv_transpose_cost(const pln_infer *inf, pln_cost *cost)
{
    pln_conv_cost(inf, 0, 1, true, cost);
}

static pln_status mm_ref(pln_call *c, pln_error *err)
{
    const pln_fused_mm_attrs *at = c->attrs;
    const pln_tensor *bias = pln_call_has(c, 2) ? c->in[2] : NULL;
    pln_postop_list list;
    PLN_TRY(pln_postops_parse(c->node, &at->post, FIRST_OPERAND, &list, err));
    pln_mm g;
    if (!pln_mm_set(&g, c->in[0], c->in[1], at->transA != 0, at->transB != 0) ||
        (bias && !pln_mm_set_addend(&g, bias)))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    g.alpha = at->alpha;
    g.beta = at->beta;
    PLN_TRY(pln_mm_ref(c, &g, c->in[0], c->in[1], bias, c->out[0], err));
    return pln_postops_apply(c, &list, c->out[0], err);
}

static pln_status run_conv(pln_call *c, bool transposed, pln_error *err)
{
    const pln_conv_attrs *at = c->attrs;
    pln_postop_list list;
    PLN_TRY(pln_postops_parse(c->node, &at->post, FIRST_OPERAND, &list, err));
    pln_conv_geom g;
    if (!pln_conv_geom_set(&g, at, transposed, c->in[0], c->in[1], c->out[0]))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    PLN_TRY(pln_conv_ref(c, &g, c->in[0], c->in[1], pln_call_has(c, 2) ? c->in[2] : NULL,
                         c->out[0], err));
    return pln_postops_apply(c, &list, c->out[0], err);
}

static pln_status conv_ref(pln_call *c, pln_error *err)
{
    return run_conv(c, false, err);
}

static pln_status conv_transpose_ref(pln_call *c, pln_error *err)
{
    return run_conv(c, true, err);
}

#define FUSED                                                                    \
    .domain = "planish", .since = 1, .in = { 2, PLN_VARIADIC }, .out = { 1, 1 }, \
    .types = "T:float", .sig = "T,T,T*->T"

const pln_op_desc pln_ops_fused[] = {
    { .name = "FusedMatMul", FUSED, .attrs = mm_spec,
      .attrs_size = sizeof(pln_fused_mm_attrs), .check = check_mm, .infer = matmul_infer,
      .ref = mm_ref, .cpu = &pln_impl_matmul_f32, .cost = mm_cost },
    { .name = "FusedGemm", FUSED, .attrs = mm_spec,
      .attrs_size = sizeof(pln_fused_mm_attrs), .check = check_mm, .infer = gemm_infer,
      .ref = mm_ref, .cpu = &pln_impl_matmul_f32, .cost = mm_cost },
    { .name = "FusedConv", FUSED, .attrs = conv_spec,
      .attrs_size = sizeof(pln_conv_attrs),
      .check = check_conv, .infer = conv_infer, .ref = conv_ref,
      .cpu = &pln_impl_conv_f32, .cost = conv_cost },
    { .name = "FusedConvTranspose", FUSED, .attrs = conv_transpose_spec,
      .attrs_size = sizeof(pln_conv_attrs), .check = check_conv,
      .infer = conv_transpose_infer, .ref = conv_transpose_ref, .cpu = &pln_impl_conv_f32,
      .cost = conv_transpose_cost },
    { .name = NULL },
};
