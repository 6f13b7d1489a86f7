/* gemm: products of matrices take the addend behind them, transpositions and factors as
 * Gemm.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/affine.h"
#include "passes/known.h"

#include <math.h>

static pln_value *out_of(const pln_match *m)
{
    return m->root->out[0];
}

static bool is_matrix_of_floats(const pln_value *v)
{
    return pln_value_rank(v) == 2 && pln_dtype_is_float(v->type.dtype);
}

/* A Gemm under way. */
typedef struct gemm {
    pln_value *in[3]; /* the last may be NULL */
    float alpha, beta;
    int64_t trans_a, trans_b;
} gemm;

static bool read_gemm(const pln_node *n, gemm *g)
{
    const bool plain = pln_node_is(n, "MatMul");
    *g = (gemm){ .in = { n->in[0], n->in[1], !plain && n->n_in > 2 ? n->in[2] : NULL },
                 .alpha = plain ? 1 : pln_node_get_float(n, "alpha", 1),
                 .beta = plain ? 1 : pln_node_get_float(n, "beta", 1),
                 .trans_a = plain ? 0 : pln_node_get_int(n, "transA", 0),
                 .trans_b = plain ? 0 : pln_node_get_int(n, "transB", 0) };
    return is_matrix_of_floats(n->in[0]) && is_matrix_of_floats(n->in[1]);
}

static pln_status emit(pln_match *m, pln_patch *p, const gemm *g)
{
    pln_node *n = pln_patch_add(p, "Gemm", g->in, 3, 1);
    if (!n)
        return PLN_E_NOMEM;
    if (g->alpha != 1)
        PLN_TRY(pln_node_set_float(n, "alpha", g->alpha));
    if (g->beta != 1)
        PLN_TRY(pln_node_set_float(n, "beta", g->beta));
    if (g->trans_a)
        PLN_TRY(pln_node_set_int(n, "transA", 1));
    if (g->trans_b)
        PLN_TRY(pln_node_set_int(n, "transB", 1));
    pln_patch_replace(p, out_of(m), n->out[0]);
    return PLN_OK;
}

/* ---- what is added -------------------------------------------------------------- */

static pln_status with_addend(pln_match *m, pln_patch *p)
{
    gemm g;
    pln_value *c = pln_match_val(m, "c");
    const pln_node *y = pln_match_node(m, "y");
    if (!read_gemm(y, &g))
        return pln_match_refuse(m, "not a product of matrices of floats");
    if (g.in[2])
        return pln_match_refuse(m, "it has an addend");
    if (!pln_value_broadcasts_into(c, y->out[0]))
        return pln_match_refuse(m, "'%s' makes the result larger", c->name);
    g.in[2] = c;
    g.beta = 1;
    return emit(m, p, &g);
}

/* ---- transpositions ------------------------------------------------------------- */

static bool is_swap(const pln_node *n)
{
    int64_t perm[PLN_MAX_RANK];
    int rank;
    return pln_perm_of(n, perm, &rank) && rank == 2 && perm[0] == 1;
}

static pln_status with_transpose(pln_match *m, pln_patch *p)
{
    gemm g;
    if (!read_gemm(m->root, &g) || !is_swap(pln_match_node(m, "t")))
        return pln_match_refuse(m, "not a product of matrices of floats");
    const int at = pln_match_val(m, "t") == g.in[0] ? 0 : 1;
    g.in[at] = pln_match_val(m, "x");
    *(at ? &g.trans_b : &g.trans_a) ^= 1;
    return emit(m, p, &g);
}

/* The addend of a transposed product: none, one number, or a constant of its own that can
 * be turned, too. */
static bool turn_addend(pln_patch *p, pln_value **c)
{
    static const int64_t swap[2] = { 1, 0 };
    pln_value *v = *c;
    if (!v || pln_value_count(v) == 1)
        return true;
    if (!pln_value_is_own_weights(v) || v->cst->rank > 2)
        return false;
    *c = v->cst->rank == 2
             ? pln_patch_transpose(p, v, swap, 2)
             : pln_patch_op2(p, "Reshape", v,
                             pln_patch_ints(p, (int64_t[]){ -1, 1 }, 2, "column"));
    return *c;
}

/* Integer products have their constant weights second: lower-bytes puts them there. */
static bool would_be_first(const pln_match *m, const pln_value *w)
{
    return m->ctx->options->target != PLN_TARGET_ONNX && w->def &&
           pln_node_is(w->def, "DequantizeLinear") && pln_value_is_const(w->def->in[0]);
}

/* (a b + c)^T => b^T a^T + c^T */
static pln_status transposed(pln_match *m, pln_patch *p)
{
    gemm g;
    if (!read_gemm(pln_match_node(m, "y"), &g) || !is_swap(m->root))
        return pln_match_refuse(m, "not a product of matrices of floats");
    if (would_be_first(m, g.in[1]))
        return pln_match_refuse(m, "quantized weights stay second");
    if (!turn_addend(p, &g.in[2]))
        return pln_match_refuse(m, "its addend can't be turned");
    const gemm was = g;
    g.in[0] = was.in[1];
    g.in[1] = was.in[0];
    g.trans_a = !was.trans_b;
    g.trans_b = !was.trans_a;
    return emit(m, p, &g);
}

/* ---- factors -------------------------------------------------------------------- */

static bool scale_by(const pln_node *n, const pln_value *s, float *to)
{
    double v;
    if (!pln_value_is_splat(s, &v) || !isfinite(v) || v == 0)
        return false;
    *to = (float)(pln_node_is(n, "Div") ? *to / v : *to * v);
    return isfinite(*to) && *to != 0;
}

static pln_status with_factor_behind(pln_match *m, pln_patch *p)
{
    gemm g;
    const pln_node *y = pln_match_node(m, "y");
    const pln_value *s = pln_match_val(m, "s");
    if (!read_gemm(y, &g) || !pln_value_same_type(y->out[0], out_of(m)))
        return pln_match_refuse(m, "not a product of matrices of floats");
    if (!scale_by(m->root, s, &g.alpha) || (g.in[2] && !scale_by(m->root, s, &g.beta)))
        return pln_match_refuse(m, "'%s' is not one finite number", s->name);
    return emit(m, p, &g);
}

static pln_status with_factor_before(pln_match *m, pln_patch *p)
{
    gemm g;
    const pln_node *f = pln_match_node(m, "f");
    pln_value *x = pln_match_val(m, "x"), *s = pln_match_val(m, "s");
    if (!read_gemm(m->root, &g) || !pln_value_same_type(x, f->out[0]))
        return pln_match_refuse(m, "not a product of matrices of floats");
    if (!scale_by(f, s, &g.alpha))
        return pln_match_refuse(m, "'%s' is not one finite number", s->name);
    g.in[f->out[0] == g.in[0] ? 0 : 1] = x;
    return emit(m, p, &g);
}

/* ---- products of products -------------------------------------------------------- */

static bool is_own_matrix(const pln_value *w)
{
    return pln_value_is_const(w) && w->n_uses == 1 && w->cst->rank == 2;
}

/* A row that the product of constants turns into another row. */
static bool is_row(const pln_value *b, int64_t n)
{
    return !b || (pln_value_is_const(b) && b->cst->rank == 1 && b->cst->dims[0] == n);
}

static pln_value *turned(pln_patch *p, pln_value *w, bool turn)
{
    static const int64_t swap[2] = { 1, 0 };
    return turn ? pln_patch_transpose(p, w, swap, 2) : w;
}

/* (x v + b) w + c => x (v w) + (b w + c), where v w is no larger than both. */
static pln_status one_product(pln_match *m, pln_patch *p)
{
    gemm first, last;
    pln_value *b;
    if (!read_gemm(pln_match_node(m, "y"), &first) || !read_gemm(m->root, &last) ||
        !is_own_matrix(first.in[1]) || !is_own_matrix(last.in[1]) || first.trans_a ||
        last.trans_a || first.alpha != 1 || last.alpha != 1 ||
        (first.in[2] && first.beta != 1) || (last.in[2] && last.beta != 1))
        return pln_match_refuse(m, "more than products with matrices of their own");
    const pln_tensor *v = first.in[1]->cst, *w = last.in[1]->cst;
    const int64_t k = v->dims[first.trans_b ? 1 : 0],
                  mid = v->dims[first.trans_b ? 0 : 1], n = w->dims[last.trans_b ? 0 : 1];
    if (k > INT32_MAX || n > INT32_MAX ||
        k * n > pln_tensor_size(v) + pln_tensor_size(w) || !is_row(first.in[2], mid) ||
        !is_row(last.in[2], n))
        return pln_match_refuse(m, "their product is larger, or an addend is no row");
    pln_value *right = turned(p, last.in[1], last.trans_b != 0);
    pln_value *left = turned(p, first.in[1], first.trans_b != 0);
    b = first.in[2] && right ? pln_patch_op2(p, "MatMul", first.in[2], right) : NULL;
    if (b && last.in[2])
        b = pln_patch_op2(p, "Add", b, last.in[2]);
    gemm g = { .in = { first.in[0], NULL, b ? b : last.in[2] }, .alpha = 1, .beta = 1 };
    g.in[1] = left && right ? pln_patch_op2(p, "MatMul", left, right) : NULL;
    return g.in[1] ? emit(m, p, &g) : PLN_E_NOMEM;
}

static const pln_rule rules[] = {
    { .name = "matmul-add",
      .match = "Add~(y=MatMul|Gemm!(a, b), c)",
      .build = with_addend,
      .contract = PLN_REASSOC,
      .opset = 7 },
    { .name = "gemm-transpose",
      .match = "MatMul|Gemm(t=Transpose(x), b, ...)",
      .build = with_transpose,
      .contract = PLN_REASSOC,
      .opset = 7 },
    { .name = "gemm-transpose",
      .match = "MatMul|Gemm(a, t=Transpose(x), ...)",
      .build = with_transpose,
      .contract = PLN_REASSOC,
      .opset = 7 },
    { .name = "transposed-gemm",
      .match = "Transpose(y=MatMul|Gemm!(a, b, ...))",
      .build = transposed,
      .contract = PLN_REASSOC },
    { .name = "gemm-scale",
      .match = "Mul~(y=MatMul|Gemm!(a, b, ...), s#)",
      .build = with_factor_behind,
      .contract = PLN_REASSOC,
      .opset = 7 },
    { .name = "gemm-scale",
      .match = "Div(y=MatMul|Gemm!(a, b, ...), s#)",
      .build = with_factor_behind,
      .contract = PLN_REASSOC,
      .opset = 7 },
    { .name = "gemm-gemm",
      .match = "Gemm(y=Gemm!(x, v#, ...), w#, ...)",
      .build = one_product,
      .contract = PLN_REASSOC,
      .opset = 7 },
    { .name = "scale-gemm",
      .match = "MatMul|Gemm(f=Mul~!(x, s#), b, ...)",
      .build = with_factor_before,
      .contract = PLN_REASSOC,
      .opset = 7 },
    { .name = "scale-gemm",
      .match = "MatMul|Gemm(a, f=Mul~!(x, s#), ...)",
      .build = with_factor_before,
      .contract = PLN_REASSOC,
      .opset = 7 },
};

const pln_pass pln_pass_gemm = {
    .name = "gemm",
    .brief = "products of matrices with sums, transpositions and factors as Gemm",
    PLN_RULES(rules),
};
