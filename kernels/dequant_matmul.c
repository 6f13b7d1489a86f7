/* planish.DequantMatMul: a product of floats with weights that stay as they are stored.
 *
 *     DequantMatMul(X, B, b_scale?, b_zero?, bias?, operand...)
 *     y = post-ops(X x W + bias),  W = float(B - b_zero) b_scale
 *
 * B is one matrix of integers of 8 or 4 bits, or of float16 or bfloat16 (then there may
 * be no scale), transposed with transB. Scale and zero point are one number, or one for
 * each column of W, or with block_size those of DequantizeLinear's blocks along the rows
 * of W.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm_narrow.h"
#include "src/ir/numeric.h"
#include "src/util/size.h"

#include <string.h>

enum { X, B, SCALE, ZERO, BIAS, OPERANDS };
enum { SHARED_NARROW = 1 };

typedef struct attrs {
    int64_t transB, block_size;
    pln_postop_attrs post;
} attrs;

static const pln_attr_spec spec[] = {
    PLN_A_INT(attrs, transB, 0),
    PLN_A_INT(attrs, block_size, 0),
    PLN_A_POSTOPS(attrs, post),
    PLN_A_END,
};

static pln_status check(pln_node *n, void *a, pln_error *err)
{
    const attrs *at = a;
    pln_postop_list list;
    return pln_postops_parse(n, &at->post, OPERANDS, &list, err);
}

static pln_status infer(pln_infer *inf, pln_error *err)
{
    const attrs *at = inf->attrs;
    return pln_mm_infer(inf, X, B, false, at->transB != 0, PLN_DT_F32, err);
}

static void cost(const pln_infer *inf, pln_cost *c)
{
    const int rank = pln_infer_rank(inf, X);
    const pln_dim k = rank > 0 ? pln_infer_dim(inf, X, rank - 1) : pln_dim_unknown();
    pln_product_cost(inf, pln_dim_is_known(k) ? (double)k.value : 1, c);
}

static pln_narrow_source source_of(const attrs *at, const pln_tensor *const *in,
                                   uint32_t n_in)
{
    return (pln_narrow_source){ .b = in[B],
                                .scale = n_in > SCALE ? in[SCALE] : NULL,
                                .zero = n_in > ZERO ? in[ZERO] : NULL,
                                .transposed = at->transB != 0,
                                .block = at->block_size };
}

/* ---- the definition ------------------------------------------------------------- */

static double number_at(const pln_narrow_source *s, const pln_tensor *t, int64_t row,
                        int64_t col)
{
    if (pln_tensor_size(t) == 1)
        return pln_tensor_get_f64(t, 0);
    if (!s->block)
        return pln_tensor_get_f64(t, col);
    const int64_t g = row / s->block;
    return pln_tensor_get_f64(t, s->transposed ? col * t->dims[1] + g
                                               : g * t->dims[1] + col);
}

static void widen(const pln_narrow_source *s, float *out)
{
    const int64_t cols = s->b->dims[1];
    for (int64_t i = 0; i < pln_tensor_size(s->b); i++) {
        const int64_t y = i / cols, x = i % cols;
        const int64_t row = s->transposed ? x : y, col = s->transposed ? y : x;
        double v = pln_tensor_get_f64(s->b, i);
        if (s->zero)
            v -= number_at(s, s->zero, row, col);
        out[i] = s->scale ? (float)v * (float)number_at(s, s->scale, row, col) : (float)v;
    }
}

static pln_status set_shapes(pln_call *c, const pln_narrow_source *s, pln_mm *g,
                             pln_error *err)
{
    if (!pln_narrow_fits(s))
        return pln_call_fail(c, err, PLN_E_RUN, "scales do not fit the weights");
    if (!pln_mm_set(g, c->in[X], s->b, false, s->transposed) ||
        (pln_call_has(c, BIAS) && !pln_mm_set_addend(g, c->in[BIAS])))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    return PLN_OK;
}

static pln_status ref(pln_call *c, pln_error *err)
{
    const attrs *at = c->attrs;
    const pln_narrow_source s = source_of(at, c->in, c->n_in);
    const pln_tensor *bias = pln_call_has(c, BIAS) ? c->in[BIAS] : NULL;
    pln_postop_list list;
    pln_mm g;
    size_t bytes;
    PLN_TRY(pln_postops_parse(c->node, &at->post, OPERANDS, &list, err));
    PLN_TRY(set_shapes(c, &s, &g, err));
    if (!pln_size_mul(&bytes, (size_t)pln_tensor_size(s.b), sizeof(float)))
        return pln_call_fail(c, err, PLN_E_LIMIT, "the weights are too large");
    pln_tensor w = *s.b;
    w.dtype = PLN_DT_F32;
    w.borrowed = true;
    w.data = pln_call_scratch(c, bytes + 1);
    if (!w.data)
        return pln_oom(err);
    widen(&s, w.data);
    PLN_TRY(pln_mm_ref(c, &g, c->in[X], &w, bias, c->out[0], err));
    return pln_postops_apply(c, &list, c->out[0], err);
}

/* ---- the kernel ----------------------------------------------------------------- */

typedef struct state {
    const pln_allocator *alloc;
    const pln_narrow_fns *fns;
    const pln_narrow_b *b;
    pln_postop_list post;
} state;

static void release(void *p)
{
    state *s = p;
    pln_release(s->alloc, s);
}

static pln_status make_packed(pln_prep *p, void **out, pln_error *err)
{
    const pln_narrow_source s = source_of(p->attrs, p->in, p->n_in);
    pln_narrow_b *b = NULL;
    PLN_TRY(pln_narrow_pack(p->alloc, pln_narrow(), &s, &b, err));
    *out = b;
    return PLN_OK;
}

static bool is_ready(const pln_prep *p)
{
    for (uint32_t i = B; i <= ZERO && i < p->n_in; i++)
        if (p->in[i] && !p->in[i]->data)
            return false;
    const pln_narrow_source s = source_of(p->attrs, p->in, p->n_in);
    return p->in[X] && p->in[X]->rank > 0 && pln_narrow_fits(&s);
}

static pln_status prepare(pln_prep *p, pln_error *err)
{
    const attrs *at = p->attrs;
    void *b = NULL;
    if (!is_ready(p))
        return PLN_E_UNSUPPORTED;
    PLN_TRY(p->shared(p, SHARED_NARROW, make_packed, pln_narrow_free, &b, err));
    for (uint32_t i = B; i <= ZERO && i < p->n_in; i++)
        p->packed[i] = true;
    state *s = pln_calloc(p->alloc, 1, sizeof *s);
    if (!s)
        return pln_oom(err);
    *s = (state){ .alloc = p->alloc, .fns = pln_narrow(), .b = b };
    p->state = s;
    memset(p->layout_in, PLN_LAYOUT_PLAIN, p->n_in);
    p->layout_out[0] = PLN_LAYOUT_PLAIN;
    return pln_postops_parse(p->node, &at->post, OPERANDS, &s->post, err);
}

static pln_status run(pln_call *c, pln_error *err)
{
    const state *s = c->state;
    const pln_tensor *x = c->in[X], *bias = pln_call_has(c, BIAS) ? c->in[BIAS] : NULL;
    const int64_t k = x->dims[x->rank - 1], n = pln_tensor_size(x);
    pln_epilogue e;
    if (k != s->b->k)
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    PLN_TRY(pln_epilogue_set(&e, c, &s->post, bias, -1, 1.0f, c->out[0], err));
    if (pln_tensor_size(c->out[0]) == 0)
        return PLN_OK;
    const pln_narrow_job j = { .fns = s->fns,
                               .b = s->b,
                               .m = k ? n / k : pln_tensor_size(c->out[0]) / s->b->n,
                               .a = x->data,
                               .a_rs = k,
                               .c = c->out[0]->data,
                               .epilogue = &e };
    pln_narrow_run(&j, c->n_threads);
    return PLN_OK;
}

static const pln_impl impl = {
    .name = "gemm_narrow", .prepare = prepare, .run = run, .release = release
};

const pln_op_desc pln_ops_dequant_matmul[] = {
    { .name = "DequantMatMul",
      .domain = "planish",
      .since = 1,
      .in = { 2, PLN_VARIADIC },
      .out = { 1, 1 },
      .types = "T1:uint8,int8,uint4,int4,float16,bfloat16;T2:uint8,int8,uint4,int4",
      .sig = "float,T1,float?,T2?,float?,float*->float",
      .attrs = spec,
      .attrs_size = sizeof(attrs),
      .check = check,
      .infer = infer,
      .ref = ref,
      .cpu = &impl,
      .cost = cost },
    { .name = NULL },
};
