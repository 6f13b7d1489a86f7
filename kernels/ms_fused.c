/* Float products of com.microsoft with what follows them: FusedMatMul, TransposeMatMul,
 * FusedMatMulActivation, FusedGemm, GemmFastGelu, FusedConv, NhwcConv, NhwcFusedConv.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ms_fused.h"
#include "kernels/conv_cpu.h"
#include "kernels/ms_act.h"
#include "kernels/nhwc.h"

#include <math.h>
#include <string.h>

/* ---- attributes ------------------------------------------------------------------ */

#define ACTIVATION                                           \
    PLN_A_STR(pln_ms_mm_attrs, activation, NULL),            \
        PLN_A_FLOAT(pln_ms_mm_attrs, activation_alpha, NAN), \
        PLN_A_FLOAT(pln_ms_mm_attrs, activation_beta, NAN),  \
        PLN_A_FLOAT(pln_ms_mm_attrs, activation_gamma, NAN)
#define TRANSPOSED                                                                    \
    PLN_A_FLOAT(pln_ms_mm_attrs, alpha, 1.0f), PLN_A_INT(pln_ms_mm_attrs, transA, 0), \
        PLN_A_INT(pln_ms_mm_attrs, transB, 0)
#define BATCHES \
    PLN_A_INT(pln_ms_mm_attrs, transBatchA, 0), PLN_A_INT(pln_ms_mm_attrs, transBatchB, 0)

static const pln_attr_spec transpose_spec[] = { TRANSPOSED, PLN_A_END };
static const pln_attr_spec mm_spec[] = { TRANSPOSED, BATCHES, PLN_A_END };
static const pln_attr_spec act_spec[] = { TRANSPOSED, BATCHES, ACTIVATION,
                                          PLN_A_INT(pln_ms_mm_attrs, activation_axis, -1),
                                          PLN_A_END };
static const pln_attr_spec gemm_spec[] = { TRANSPOSED, ACTIVATION,
                                           PLN_A_FLOAT(pln_ms_mm_attrs, beta, 1.0f),
                                           PLN_A_END };
static const pln_attr_spec no_spec[] = { PLN_A_END };
static const pln_attr_spec conv_spec[] = { PLN_CONV_SPEC, PLN_A_END };
static const pln_attr_spec fused_conv_spec[] = {
    PLN_CONV_SPEC,
    PLN_A_STR(pln_ms_conv_attrs, activation, NULL),
    PLN_A_FLOATS(pln_ms_conv_attrs, activation_params),
    PLN_A_END,
};

static pln_status fail_activation(const pln_node *n, const char *name, pln_error *err)
{
    char where[160];
    return pln_fail(err, PLN_E_UNSUPPORTED, "%s: no activation '%s'",
                    pln_node_where(n, where, sizeof where), name);
}

static bool mm_act(const pln_ms_mm_attrs *at, pln_ms_act *act)
{
    const float given[3] = { at->activation_alpha, at->activation_beta,
                             at->activation_gamma };
    return pln_ms_act_of(at->activation, given, act);
}

static bool conv_act(const pln_ms_conv_attrs *at, pln_ms_act *act)
{
    float given[3] = { NAN, NAN, NAN };
    for (size_t i = 0; i < at->activation_params.n && i < 3; i++)
        given[i] = at->activation_params.v[i];
    return pln_ms_act_of(at->activation, given, act);
}

static pln_status check_mm(pln_node *n, void *attrs, pln_error *err)
{
    pln_ms_act act;
    const pln_ms_mm_attrs *at = attrs;
    return mm_act(at, &act) ? PLN_OK : fail_activation(n, at->activation, err);
}

/* Its only attributes are what its name says. */
static pln_status check_fast_gelu(pln_node *n, void *attrs, pln_error *err)
{
    pln_ms_mm_attrs *at = attrs;
    (void)n, (void)err;
    *at = (pln_ms_mm_attrs){ .alpha = 1.0f,
                             .beta = 1.0f,
                             .activation = "FastGelu",
                             .activation_alpha = NAN,
                             .activation_beta = NAN,
                             .activation_gamma = NAN };
    return PLN_OK;
}

static pln_status check_conv(pln_node *n, void *attrs, pln_error *err)
{
    pln_ms_act act;
    const pln_ms_conv_attrs *at = attrs;
    PLN_TRY(pln_conv_check(n, attrs, err));
    return conv_act(at, &act) ? PLN_OK : fail_activation(n, at->activation, err);
}

static pln_status add_act(const pln_ms_act *act, pln_postop_list *out)
{
    if (!act->kind)
        return PLN_OK;
    return pln_ms_act_post(act, &out->op[out->n++]) ? PLN_OK : PLN_E_UNSUPPORTED;
}

pln_status pln_ms_mm_view(pln_mm_view *v, const pln_node *n, const pln_ms_mm_attrs *at)
{
    pln_ms_act act;
    (void)n;
    v->ta = at->transA != 0, v->tb = at->transB != 0;
    v->batch_a = at->transBatchA != 0, v->batch_b = at->transBatchB != 0;
    v->alpha = at->alpha;
    v->beta = n->n_in > 2 ? at->beta : 1.0f;
    return mm_act(at, &act) ? add_act(&act, &v->post) : PLN_E_UNSUPPORTED;
}

pln_status pln_ms_conv_posts(const pln_node *n, const pln_ms_conv_attrs *at,
                             pln_postop_list *out)
{
    pln_ms_act act;
    *out = (pln_postop_list){ .n = 0 };
    if (n->n_in > 3 && n->in[3])
        out->op[out->n++] = (pln_postop){ .kind = PLN_POST_ADD, .operand = 3 };
    return conv_act(at, &act) ? add_act(&act, out) : PLN_E_UNSUPPORTED;
}

/* ---- matrix products ------------------------------------------------------------- */

/* The type of a matrix whose dimension 0 stands before the last one in the product. */
static pln_status batch_type(pln_infer *inf, const pln_type *t, pln_type *out,
                             pln_error *err)
{
    const int rank = t->shape.rank;
    *out = *t;
    if (rank < 3)
        return PLN_OK;
    out->shape = pln_infer_shape(inf, rank);
    if (out->shape.rank < 0)
        return pln_oom(err);
    for (int d = 0; d < rank; d++)
        out->shape.dims[d] = t->shape.dims[d < rank - 2 ? d + 1 : d == rank - 2 ? 0 : d];
    return PLN_OK;
}

static pln_status mm_infer(pln_infer *inf, pln_error *err)
{
    const pln_ms_mm_attrs *at = inf->attrs;
    const pln_type *in[2] = { inf->in[0], inf->in[1] };
    pln_type types[2];
    for (int i = 0; i < 2; i++) {
        if (!(i ? at->transBatchB : at->transBatchA) || !in[i])
            continue;
        PLN_TRY(batch_type(inf, in[i], &types[i], err));
        in[i] = &types[i];
    }
    pln_infer sub = *inf;
    sub.in = in;
    sub.n_in = 2;
    /* A vector is not transposed. */
    return pln_mm_infer(&sub, 0, 1, at->transA != 0, at->transB != 0,
                        pln_infer_dtype(inf, 0), err);
}

static pln_status gemm_infer(pln_infer *inf, pln_error *err)
{
    const pln_ms_mm_attrs *at = inf->attrs;
    return pln_gemm_infer(inf, at->transA != 0, at->transB != 0, err);
}

static void mm_cost(const pln_infer *inf, pln_cost *cost)
{
    const pln_ms_mm_attrs *at = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    pln_dim k = pln_dim_unknown();
    if (rank > 0)
        k = pln_infer_dim(inf, 0,
                          rank < 2 || !at->transA ? rank - 1
                          : at->transBatchA       ? 0
                                                  : rank - 2);
    pln_product_cost(inf, pln_dim_is_known(k) ? (double)k.value : 1, cost);
}

static pln_status mm_ref(pln_call *c, pln_error *err)
{
    const pln_ms_mm_attrs *at = c->attrs;
    const pln_tensor *addend = pln_call_has(c, 2) ? c->in[2] : NULL;
    const pln_mm_view v = { .ta = at->transA != 0,
                            .tb = at->transB != 0,
                            .batch_a = at->transBatchA != 0,
                            .batch_b = at->transBatchB != 0 };
    pln_ms_act act;
    pln_mm g;
    if (!pln_mm_view_set(&g, &v, c->in[0], c->in[1]) ||
        (addend && !pln_mm_set_addend(&g, addend)))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    g.alpha = at->alpha;
    g.beta = at->beta;
    PLN_TRY(pln_mm_ref(c, &g, c->in[0], c->in[1], addend, c->out[0], err));
    mm_act(at, &act);
    pln_ms_act_run(&act, c->out[0]);
    return PLN_OK;
}

/* ---- convolutions ---------------------------------------------------------------- */

static pln_status conv_infer(pln_infer *inf, pln_error *err)
{
    return pln_conv_infer(inf, 0, 1, false, pln_infer_dtype(inf, 0), err);
}

static void conv_cost(const pln_infer *inf, pln_cost *cost)
{
    pln_conv_cost(inf, 0, 1, false, cost);
}

static bool same_shape(const pln_tensor *a, const pln_tensor *b)
{
    return a->rank == b->rank &&
           memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0;
}

static pln_status conv_ref(pln_call *c, pln_error *err)
{
    const pln_tensor *z = pln_call_has(c, 3) ? c->in[3] : NULL;
    pln_tensor *y = c->out[0];
    pln_ms_act act;
    pln_conv_geom g;
    if (!pln_conv_geom_set(&g, c->attrs, false, c->in[0], c->in[1], y))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    if (z && !same_shape(z, y))
        return pln_call_fail(c, err, PLN_E_RUN, "input 3 has not the result's shape");
    PLN_TRY(pln_conv_ref(c, &g, c->in[0], c->in[1], pln_call_has(c, 2) ? c->in[2] : NULL,
                         y, err));
    for (int64_t i = 0, n = z ? pln_tensor_size(y) : 0; i < n; i++)
        pln_tensor_set_f64(y, i, pln_tensor_get_f64(y, i) + pln_tensor_get_f64(z, i));
    conv_act(c->attrs, &act);
    pln_ms_act_run(&act, y);
    return PLN_OK;
}

/* X and Z have their channels last. */
#define NHWC_MASK ((1u << 0) | (1u << 3))

static pln_status nhwc_infer(pln_infer *inf, pln_error *err)
{
    return pln_nhwc_infer(inf, NHWC_MASK, conv_infer, err);
}

static pln_status nhwc_ref(pln_call *c, pln_error *err)
{
    return pln_nhwc_run(c, NHWC_MASK, conv_ref, err);
}

static pln_status nhwc_prepare(pln_prep *p, pln_error *err)
{
    return pln_nhwc_prepare(p, NHWC_MASK, &pln_impl_conv_f32, err);
}

static pln_status nhwc_run(pln_call *c, pln_error *err)
{
    return pln_nhwc_run(c, NHWC_MASK, pln_impl_conv_f32.run, err);
}

static void nhwc_release(void *state)
{
    pln_impl_conv_f32.release(state);
}

static const pln_impl nhwc_cpu = { "nhwc_conv_f32", nhwc_prepare, nhwc_run,
                                   nhwc_release };

#define MS     .domain = "com.microsoft", .since = 1, .out = { 1, 1 }
#define FLOATS "float16,float,double"
#define MM                                                                  \
    MS, .attrs_size = sizeof(pln_ms_mm_attrs), .cpu = &pln_impl_matmul_f32, \
        .ref = mm_ref, .cost = mm_cost
#define CONV \
    MS, .types = "T:" FLOATS, .attrs_size = sizeof(pln_ms_conv_attrs), .check = check_conv

const pln_op_desc pln_ops_ms_fused[] = {
    { MM, .name = "FusedMatMul", .in = { 2, 2 }, .types = "T:" FLOATS ",bfloat16",
      .sig = "T,T->T", .attrs = mm_spec, .infer = mm_infer },
    { MM, .name = "TransposeMatMul", .in = { 2, 2 }, .types = "T:" FLOATS ",bfloat16",
      .sig = "T,T->T", .attrs = transpose_spec, .infer = mm_infer },
    { MM, .name = "FusedMatMulActivation", .in = { 2, 2 },
      .types = "T:" FLOATS ",bfloat16", .sig = "T,T->T", .attrs = act_spec,
      .check = check_mm, .infer = mm_infer },
    { MM, .name = "FusedGemm", .in = { 2, 3 },
      .types = "T:" FLOATS ",uint32,uint64,int32,int64", .sig = "T,T,T?->T",
      .attrs = gemm_spec, .check = check_mm, .infer = gemm_infer },
    { MM, .name = "GemmFastGelu", .in = { 2, 3 }, .types = "T:float,float16,bfloat16",
      .sig = "T,T,T?->T", .attrs = no_spec, .check = check_fast_gelu, .infer = mm_infer },
    { CONV, .name = "FusedConv", .in = { 2, 4 }, .sig = "T,T,T?,T?->T",
      .attrs = fused_conv_spec, .infer = conv_infer, .ref = conv_ref,
      .cpu = &pln_impl_conv_f32, .cost = conv_cost },
    { CONV, .name = "NhwcConv", .in = { 2, 3 }, .sig = "T,T,T?->T", .attrs = conv_spec,
      .infer = nhwc_infer, .ref = nhwc_ref, .cpu = &nhwc_cpu, .cost = conv_cost },
    { CONV, .name = "NhwcFusedConv", .in = { 2, 4 }, .sig = "T,T,T?,T?->T",
      .attrs = fused_conv_spec, .infer = nhwc_infer, .ref = nhwc_ref, .cpu = &nhwc_cpu,
      .cost = conv_cost },
    { .name = NULL },
};
