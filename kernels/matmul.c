/* MatMul and Gemm.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm_attrs.h"
#include "kernels/gemm_f64.h"
#include "kernels/matmul_cpu.h"
#include "kernels/raise.h"

#include <string.h>

static pln_status matmul_infer(pln_infer *inf, pln_error *err)
{
    return pln_mm_infer(inf, 0, 1, false, false, pln_infer_dtype(inf, 0), err);
}

static void matmul_cost(const pln_infer *inf, pln_cost *cost)
{
    const int rank = pln_infer_rank(inf, 0);
    pln_dim k = pln_dim_unknown();
    if (rank > 0)
        k = pln_infer_dim(inf, 0, rank - 1);
    pln_product_cost(inf, pln_dim_is_known(k) ? (double)k.value : 1, cost);
}

static pln_status matmul_ref(pln_call *c, pln_error *err)
{
    pln_mm g;
    if (!pln_mm_set(&g, c->in[0], c->in[1], false, false))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    return pln_mm_ref(c, &g, c->in[0], c->in[1], NULL, c->out[0], err);
}

static const pln_attr_spec gemm_spec[] = {
    PLN_A_FLOAT(pln_gemm_attrs, alpha, 1.0f),
    PLN_A_FLOAT(pln_gemm_attrs, beta, 1.0f),
    PLN_A_INT(pln_gemm_attrs, transA, 0),
    PLN_A_INT(pln_gemm_attrs, transB, 0),
    PLN_A_END,
};

static pln_status gemm_infer(pln_infer *inf, pln_error *err)
{
    const pln_gemm_attrs *at = inf->attrs;
    return pln_gemm_infer(inf, at->transA != 0, at->transB != 0, err);
}

static void gemm_cost(const pln_infer *inf, pln_cost *cost)
{
    const pln_gemm_attrs *at = inf->attrs;
    pln_dim k = pln_dim_unknown();
    if (pln_infer_rank(inf, 0) == 2)
        k = pln_infer_dim(inf, 0, at->transA ? 0 : 1);
    pln_product_cost(inf, pln_dim_is_known(k) ? (double)k.value : 1, cost);
}

static pln_status gemm_ref(pln_call *c, pln_error *err)
{
    const pln_gemm_attrs *at = c->attrs;
    const pln_tensor *addend = pln_call_has(c, 2) ? c->in[2] : NULL;
    pln_mm g;
    if (!pln_mm_set(&g, c->in[0], c->in[1], at->transA != 0, at->transB != 0) ||
        (addend && !pln_mm_set_addend(&g, addend)))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    g.alpha = at->alpha;
    g.beta = at->beta;
    return pln_mm_ref(c, &g, c->in[0], c->in[1], addend, c->out[0], err);
}

/* ---- double ---- */

/* y = alpha y + beta addend, over all of the batch. */
static void add_scaled(const pln_mm *g, const pln_tensor *addend, double *y)
{
    const double *c = addend ? addend->data : NULL;
    if (!c && g->alpha == 1.0f)
        return;
    for (int64_t i = 0; i < g->batch * g->m; i++)
        for (int64_t k = 0; k < g->n; k++) {
            double *v = y + i * g->n + k;
            *v *= (double)g->alpha;
            if (c)
                *v += (double)g->beta * c[i % g->m * g->c_rs + k * g->c_cs];
        }
}

static pln_status run_f64(pln_call *c, const pln_mm *g, const pln_tensor *addend,
                          pln_error *err)
{
    double *y = c->out[0]->data;
    pln_gemm64_job j = { .m = g->m,
                         .n = g->n,
                         .k = g->k,
                         .a_rs = g->a_rs,
                         .a_cs = g->a_cs,
                         .b_rs = g->b_rs,
                         .b_cs = g->b_cs,
                         .ldc = g->n };
    const int64_t size = pln_tensor_size(c->out[0]);
    if (size == 0)
        return PLN_OK;
    memset(y, 0, (size_t)size * sizeof *y);
    for (int64_t i = 0; i < g->batch && g->k > 0; i++) {
        int64_t a, b;
        pln_mm_offsets(g, i, &a, &b);
        j.a = PLN_DATA(const double, c->in[0]) + a;
        j.b = PLN_DATA(const double, c->in[1]) + b;
        j.c = y + i * g->m * g->n;
        PLN_TRY(pln_gemm64_run(c, &j, err));
    }
    add_scaled(g, addend, y);
    return PLN_OK;
}

/* The product of float, or with in[0] a double that of double. */
static pln_status prepare(pln_prep *p, pln_error *err)
{
    if (p->in[0]->dtype != PLN_DT_F64)
        return pln_impl_matmul_f32.prepare(p, err);
    memset(p->layout_in, PLN_LAYOUT_PLAIN, p->n_in);
    return PLN_OK;
}

static void release(void *state)
{
    pln_impl_matmul_f32.release(state);
}

static pln_status matmul_run(pln_call *c, pln_error *err)
{
    pln_mm g;
    if (c->in[0]->dtype != PLN_DT_F64)
        return pln_impl_matmul_f32.run(c, err);
    if (!pln_mm_set(&g, c->in[0], c->in[1], false, false))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    return run_f64(c, &g, NULL, err);
}

static pln_status gemm_run(pln_call *c, pln_error *err)
{
    const pln_gemm_attrs *at = c->attrs;
    const pln_tensor *addend = pln_call_has(c, 2) ? c->in[2] : NULL;
    pln_mm g;
    if (c->in[0]->dtype != PLN_DT_F64)
        return pln_impl_matmul_f32.run(c, err);
    if (!pln_mm_set(&g, c->in[0], c->in[1], at->transA != 0, at->transB != 0) ||
        (addend && !pln_mm_set_addend(&g, addend)))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    g.alpha = at->alpha;
    g.beta = at->beta;
    return run_f64(c, &g, addend, err);
}

static const pln_impl matmul_cpu = { "gemm", prepare, matmul_run, release };
static const pln_impl gemm_cpu = { "gemm", prepare, gemm_run, release };

/* Version 7 took the attribute `broadcast` away: C always broadcasts. */
static pln_status gemm_raise_7(pln_node *n, pln_error *err)
{
    (void)err;
    pln_node_drop_attr(n, "broadcast");
    return PLN_OK;
}

static pln_status gemm_lower_7(pln_node *n, pln_error *err)
{
    return pln_node_set_int(n, "broadcast", 1) == PLN_OK ? PLN_OK : pln_oom(err);
}

/* Version 11 made C optional. */
/* Version 7 to 10 wanted C: the number that changes no sum. */
static pln_status gemm_lower_11(pln_node *n, pln_error *err)
{
    const pln_dtype dt = n->in[0] ? n->in[0]->type.dtype : PLN_DT_NONE;
    pln_tensor *t = NULL;
    if (pln_lower_has(n, 2))
        return PLN_OK;
    if (dt == PLN_DT_NONE)
        return pln_lower_fail(n, err, "its element type is not known");
    PLN_TRY(pln_tensor_make(n->graph->model->alloc, dt, 0, NULL, &t, err));
    pln_tensor_set_f64(t, 0, -0.0);
    pln_node_drop_attr(n, "beta");
    return pln_raise_constant(n, "zero", 2, t, err);
}

static const pln_version_change gemm_versions[] = {
    { .since = 7, .raise = gemm_raise_7, .lower = gemm_lower_7 },
    { .since = 11, .lower = gemm_lower_11 },
    { .since = 0 },
};

const pln_op_desc pln_ops_matmul[] = {
    { .name = "MatMul", .domain = "", .since = 13, .in = { 2, 2 }, .out = { 1, 1 },
      .types = "T:" PLN_PRODUCT_TYPES, .sig = "T,T->T", .infer = matmul_infer,
      .ref = matmul_ref, .cpu = &matmul_cpu, .cost = matmul_cost },
    { .name = "Gemm", .domain = "", .since = 13, .in = { 2, 3 }, .out = { 1, 1 },
      .types = "T:" PLN_PRODUCT_TYPES, .sig = "T,T,T?->T", .attrs = gemm_spec,
      .attrs_size = sizeof(pln_gemm_attrs), .infer = gemm_infer, .ref = gemm_ref,
      .cpu = &gemm_cpu,
      .cost = gemm_cost, .versions = gemm_versions },
    { .name = NULL },
};
