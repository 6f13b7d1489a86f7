/* Matrix products with constant weights by oneDNN.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/dnnl/lower.h"
#include "kernels/dnnl/prim.h"
#include "kernels/matmul_cpu.h"
#include "kernels/product.h"

#include <string.h>

/* Below this our own product answers sooner. */
#define MIN_FLOPS 4e6

/* A x B as one matrix product: batches of A are rows. */
typedef struct plan {
    int64_t m, n, k;
    pln_mm g;
    pln_mm_view view;
    int n_post;
    const pln_tensor *bias;
} plan;

/* All of A's matrices follow each other, and B is one matrix. */
static bool fold(const pln_prep *p, plan *l)
{
    const pln_tensor *a = p->in[0], *b = p->in[1];
    if (a->rank < 2 || b->rank != 2 || !b->data ||
        !pln_mm_set(&l->g, a, b, l->view.ta, l->view.tb) ||
        (l->view.ta && a->rank > 2) || l->view.batch_a)
        return false;
    l->m = l->g.m * l->g.batch;
    l->n = l->g.n;
    l->k = l->g.k;
    return l->m > 0 && l->n > 0 && l->k > 0;
}

static bool is_row(const pln_tensor *t, int64_t n)
{
    return pln_tensor_size(t) == n && t->rank > 0 && t->dims[t->rank - 1] == n;
}

/* Dimensions of an operand of the folded result; false: it does not fold. */
static bool operand_dims(const pln_prep *p, const plan *l, const pln_tensor *o,
                         int64_t *dims)
{
    const int64_t size = pln_tensor_size(o);
    dims[0] = dims[1] = 1;
    if (size == 1)
        return true;
    dims[1] = l->n;
    if (is_row(o, l->n))
        return true;
    dims[0] = l->m;
    return o->rank == p->out[0]->rank && size == l->m * l->n;
}

static dnnl_memory_desc_t operand_md(const pln_prep *p, const plan *l, int at)
{
    int64_t dims[2];
    if (!p->in[at] || !operand_dims(p, l, p->in[at], dims))
        return NULL;
    return prim_tensor_md(2, dims, PLN_LAYOUT_PLAIN);
}

static bool add_post(dnnl_post_ops_t ops, const pln_prep *p, const plan *l, int i)
{
    const pln_postop *op = &l->view.post.op[i];
    dnnl_memory_desc_t md = op->operand >= 0 ? operand_md(p, l, op->operand) : NULL;
    const bool ok = (op->operand < 0 || md) && prim_append(ops, op, md);
    if (md)
        pln_dnnl.memory_desc_destroy(md);
    return ok;
}

/* alpha comes first, as a linear eltwise, and so before the bias: both only where it is
 * 1. */
static bool make_attr(dnnl_primitive_attr_t *attr, const pln_prep *p, const plan *l)
{
    dnnl_post_ops_t ops = NULL;
    bool ok = pln_dnnl.primitive_attr_create(attr) == dnnl_success &&
              pln_dnnl.primitive_attr_set_scratchpad_mode(
                  *attr, dnnl_scratchpad_mode_user) == dnnl_success &&
              pln_dnnl.post_ops_create(&ops) == dnnl_success;
    for (int i = 0; ok && i < l->n_post; i++)
        ok = add_post(ops, p, l, i);
    ok = ok && pln_dnnl.primitive_attr_set_post_ops(*attr, ops) == dnnl_success;
    if (ops)
        pln_dnnl.post_ops_destroy(ops);
    return ok;
}

static dnnl_memory_desc_t weights_md(const plan *l)
{
    return prim_md(2, (const int64_t[]){ l->k, l->n },
                   (const int64_t[]){ l->g.b_rs, l->g.b_cs });
}

static dnnl_primitive_desc_t create(const pln_prep *p, const plan *l)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_memory_desc_t src = prim_md(2, (const int64_t[]){ l->m, l->k },
                                     (const int64_t[]){ l->g.a_rs, l->g.a_cs });
    dnnl_memory_desc_t w = prim_md_any(2, (const int64_t[]){ l->k, l->n });
    dnnl_memory_desc_t dst =
        prim_tensor_md(2, (const int64_t[]){ l->m, l->n }, PLN_LAYOUT_PLAIN);
    dnnl_memory_desc_t bias =
        l->bias ? prim_tensor_md(2, (const int64_t[]){ 1, l->n }, PLN_LAYOUT_PLAIN)
                : NULL;
    bool ok = src && w && dst && (!l->bias || bias) && make_attr(&attr, p, l) &&
              pln_dnnl.matmul_primitive_desc_create(&pd, pln_dnnl.engine, src, w, bias,
                                                    dst, attr) == dnnl_success;
    dnnl_memory_desc_t all[] = { src, w, dst, bias };
    for (int i = 0; i < 4; i++) {
        if (all[i])
            pln_dnnl.memory_desc_destroy(all[i]);
    }
    if (attr)
        pln_dnnl.primitive_attr_destroy(attr);
    if (ok && !prim_is_optimized(pd)) {
        pln_dnnl.primitive_desc_destroy(pd);
        ok = false;
    }
    return ok ? pd : NULL;
}

static pln_status bind(prim *s, const plan *l, pln_prep *p, pln_error *err)
{
    PLN_TRY(prim_add(s, DNNL_ARG_SRC, dnnl_query_src_md, 0, PRIM_INPUT, 0, err));
    PLN_TRY(prim_add(s, DNNL_ARG_DST, dnnl_query_dst_md, 0, PRIM_OUTPUT, 0, err));
    PLN_TRY(
        prim_add(s, DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0, PRIM_WEIGHTS, 1, err));
    if (l->bias)
        PLN_TRY(prim_add(s, DNNL_ARG_BIAS, dnnl_query_weights_md, 1, PRIM_INPUT, 2, err));
    const pln_postop_list *list = &l->view.post;
    for (int i = 0; i < list->n; i++) {
        if (i >= l->n_post) {
            s->rest.op[s->rest.n++] = list->op[i];
            continue;
        }
        if (list->op[i].operand < 0)
            continue;
        dnnl_memory_desc_t md = operand_md(p, l, list->op[i].operand);
        const pln_status st =
            md ? prim_add_md(s, DNNL_ARG_ATTR_MULTIPLE_POST_OP(i) | DNNL_ARG_SRC_1, md,
                             PRIM_INPUT, (uint32_t)list->op[i].operand, err)
               : pln_oom(err);
        if (md)
            pln_dnnl.memory_desc_destroy(md);
        PLN_TRY(st);
    }
    dnnl_memory_desc_t md = weights_md(l);
    const pln_status st = md ? prim_pack_weights(s, p, 1, md, err) : pln_oom(err);
    if (md)
        pln_dnnl.memory_desc_destroy(md);
    PLN_TRY(st);
    return prim_finish(s, p, err);
}

static bool takes(const pln_prep *p, plan *l)
{
    for (uint32_t i = 0; i < p->n_in; i++) {
        if (p->in[i] && p->in[i]->dtype != PLN_DT_F32)
            return false;
    }
    l->bias = p->n_in > 2 ? p->in[2] : NULL;
    if (!p->is_static || l->view.alpha != 1.0f || (l->bias && l->view.beta != 1.0f) ||
        !fold(p, l))
        return false;
    return 2.0 * (double)l->m * (double)l->n * (double)l->k >= MIN_FLOPS &&
           (!l->bias || is_row(l->bias, l->n));
}

static pln_status prepare(pln_prep *p, pln_error *err)
{
    plan l = { .m = 0 };
    PLN_TRY(pln_mm_view_of(&l.view, p->node, p->attrs, err));
    if (!takes(p, &l))
        return PLN_E_UNSUPPORTED;
    prim *s = prim_new(p->alloc);
    if (!s)
        return pln_oom(err);
    for (l.n_post = l.view.post.n; l.n_post >= 0 && !s->pd; l.n_post--)
        s->pd = create(p, &l);
    l.n_post++;
    const pln_status st = s->pd ? bind(s, &l, p, err) : PLN_E_UNSUPPORTED;
    if (st != PLN_OK) {
        prim_free(s);
        p->scratch = 0;
        p->packed[1] = false;
        return st;
    }
    memset(p->layout_in, PLN_LAYOUT_PLAIN, p->n_in);
    p->layout_out[0] = PLN_LAYOUT_PLAIN;
    p->state = s;
    return PLN_OK;
}

const pln_impl pln_dnnl_matmul = {
    .name = "dnnl_matmul", .prepare = prepare, .run = prim_run, .release = prim_free
};
