/* fold-made: as fold-conv-bn does, where the weights, or what is folded into them, are
 * no constants yet: ConstantOfShape, Expand and the like make them, and they are too large
 * to be folded. The weights stay such a node, with other numbers.
 *
 *     Mul(Conv(x, ConstantOfShape<value=[2]>(s)), 3) => Conv(x, ConstantOfShape<value=[6]>(s))
 *     BatchNormalization(Conv(x, ConstantOfShape(s)), ...)
 *       => Conv(x, Expand(w, s), b)                     w is one number for each channel
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/made.h"

#include <math.h>

/* What follows the product: y[c] = mul[c] x + add[c]. */
typedef struct affine {
    int64_t n; /* channels, or 1: the same for all */
    double *mul, *add;
} affine;

typedef struct product {
    pln_node *node;
    int axis; /* of the weights' output channels */
    int64_t n;
    pln_made w, b;
    bool has_bias, is_made;
} product;

static bool new_affine(affine *a, pln_arena *arena, int64_t n)
{
    a->n = n;
    a->mul = PLN_NEW_ARRAY(arena, double, (size_t)n);
    a->add = PLN_NEW_ARRAY(arena, double, (size_t)n);
    for (int64_t i = 0; a->mul && i < n; i++)
        a->mul[i] = 1;
    return a->mul && a->add;
}

/* ---- the product ---------------------------------------------------------------- */

static int channel_axis(const pln_node *n, int rank)
{
    if (pln_node_is(n, "Conv"))
        return rank > 2 ? 0 : -1;
    if (pln_node_is(n, "ConvTranspose"))
        return rank > 2 && pln_node_get_int(n, "group", 1) == 1 ? 1 : -1;
    if (rank != 2 || pln_node_get_float(n, "alpha", 1) != 1 ||
        pln_node_get_float(n, "beta", 1) != 1)
        return -1;
    return pln_node_get_int(n, "transB", 0) ? 0 : 1;
}

static pln_status read_product(pln_match *m, product *p)
{
    pln_arena *arena = m->ctx->scratch;
    p->node = pln_match_node(m, "y");
    const pln_value *w = p->node->in[1], *b = p->node->n_in > 2 ? p->node->in[2] : NULL;
    p->is_made = !pln_value_is_const(w);
    if (!p->is_made && w->n_uses > 1)
        return pln_match_refuse(m, "its weights are used elsewhere, too");
    if (!pln_made_read(w, arena, &p->w) ||
        (p->w.dtype != PLN_DT_F32 && p->w.dtype != PLN_DT_F64))
        return pln_match_refuse(m, "its weights are not made of constants");
    p->axis = channel_axis(p->node, p->w.rank);
    if (p->axis < 0)
        return pln_match_refuse(m, "the channels of its weights are not clear");
    p->n = p->w.dims[p->axis];
    p->has_bias = b != NULL;
    if (b && (!pln_made_read(b, arena, &p->b) || p->b.rank < 1 ||
              (p->b.dims[p->b.rank - 1] != p->n) ||
              !pln_made_is_along(&p->b, p->b.rank - 1)))
        return pln_match_refuse(m, "its bias is not made of constants");
    p->is_made |= b && !pln_value_is_const(b);
    return PLN_OK;
}

/* ---- what follows --------------------------------------------------------------- */

static pln_status read_batch_norm(pln_match *m, product *p, affine *a)
{
    const pln_node *bn = m->root;
    pln_made t[4];
    bool uniform = true;
    for (uint32_t i = 1; i < bn->n_out; i++)
        if (bn->out[i] && bn->out[i]->n_uses)
            return pln_match_refuse(m, "its statistics are used");
    if (bn->n_in < 5 || pln_node_get_int(bn, "training_mode", 0))
        return pln_match_refuse(m, "in training mode");
    for (uint32_t i = 0; i < 4; i++) {
        if (!pln_made_read(bn->in[i + 1], m->ctx->scratch, &t[i]) || t[i].rank != 1 ||
            t[i].dims[0] != p->n)
            return pln_match_refuse(m, "its statistics are not vectors of constants");
        p->is_made |= !pln_value_is_const(bn->in[i + 1]);
        uniform &= t[i].n == 1;
    }
    const double eps = pln_node_get_float(bn, "epsilon", 1e-5f);
    if (!new_affine(a, m->ctx->scratch, uniform ? 1 : p->n))
        return PLN_E_NOMEM;
    for (int64_t i = 0; i < a->n; i++) {
        const double f = pln_made_at(&t[0], 0, i) / sqrt(pln_made_at(&t[3], 0, i) + eps);
        a->mul[i] = f;
        a->add[i] = pln_made_at(&t[1], 0, i) - pln_made_at(&t[2], 0, i) * f;
    }
    return PLN_OK;
}

static pln_status read_binary(pln_match *m, product *p, affine *a)
{
    const pln_node *n = m->root;
    const pln_value *y = n->out[0], *c = pln_match_val(m, "c");
    pln_made t;
    const int rank = pln_value_rank(y);
    const int axis = pln_node_is(p->node, "Gemm") ? rank - 1 : 1;
    if (rank < 2 || !pln_value_same_type(y, p->node->out[0]))
        return pln_match_refuse(m, "the constant makes the result larger");
    if (!pln_made_read(c, m->ctx->scratch, &t))
        return pln_match_refuse(m, "'%s' is not made of constants", c->name);
    const int at = axis - (rank - t.rank);
    if (t.rank > rank || !pln_made_is_along(&t, at) ||
        (t.n != 1 && (at < 0 || t.dims[at] != p->n)))
        return pln_match_refuse(m, "the constant is not one value for each channel");
    p->is_made |= !pln_value_is_const(c);
    if (!new_affine(a, m->ctx->scratch, t.n == 1 ? 1 : p->n))
        return PLN_E_NOMEM;
    for (int64_t i = 0; i < a->n; i++) {
        const double v = pln_made_at(&t, at, i);
        if (pln_node_is(n, "Add") || pln_node_is(n, "Sub"))
            a->add[i] = pln_node_is(n, "Add") ? v : -v;
        else
            a->mul[i] = pln_node_is(n, "Mul") ? v : 1 / v;
        if (!isfinite(v))
            return pln_match_refuse(m, "the factor is not finite");
    }
    return PLN_OK;
}

/* ---- build ---------------------------------------------------------------------- */

static bool is_finite(const affine *a)
{
    for (int64_t i = 0; i < a->n; i++)
        if (!isfinite(a->mul[i]) || !isfinite(a->add[i]))
            return false;
    return true;
}

static bool is_scaled(const affine *a)
{
    for (int64_t i = 0; i < a->n; i++)
        if (a->mul[i] != 1)
            return true;
    return false;
}

static bool add_bias(product *p, const affine *a, pln_arena *arena, pln_made *out)
{
    const bool one = a->n == 1 && (!p->has_bias || p->b.n == 1);
    *out = (pln_made){ .dtype = p->w.dtype, .rank = 1, .n = one ? 1 : p->n };
    out->dims[0] = p->n;
    out->has[0] = out->n;
    out->v = PLN_NEW_ARRAY(arena, double, (size_t)out->n);
    for (int64_t i = 0; out->v && i < out->n; i++) {
        const int64_t k = a->n == 1 ? 0 : i;
        const double b = p->has_bias ? pln_made_at(&p->b, p->b.rank - 1, i) : 0;
        out->v[i] = b * a->mul[k] + a->add[k];
    }
    return out->v != NULL;
}

/* A value whose maker may have the shape of the bias. */
static const pln_value *vector_like(const pln_match *m, const product *p)
{
    return p->has_bias ? p->node->in[2] : m->root->n_in > 1 ? m->root->in[1] : NULL;
}

static pln_status build(pln_match *m, pln_patch *patch)
{
    product p = { .node = NULL };
    affine a = { .n = 0 };
    pln_made bias;
    pln_arena *arena = m->ctx->scratch;
    PLN_TRY(read_product(m, &p));
    PLN_TRY(pln_node_is(m->root, "BatchNormalization") ? read_batch_norm(m, &p, &a)
                                                       : read_binary(m, &p, &a));
    if (!p.is_made)
        return pln_match_refuse(m, "all of it is constant");
    if (!is_finite(&a))
        return pln_match_refuse(m, "its scale is not finite");
    pln_value *w = p.node->in[1];
    pln_value *in[3] = { p.node->in[0], w, NULL };
    if (is_scaled(&a)) {
        if (!pln_made_scale(&p.w, arena, p.axis, a.mul, a.n))
            return pln_match_refuse(m, "the weights would have too many numbers");
        in[1] = pln_made_emit(patch, &p.w, w, w->name);
    }
    if (!add_bias(&p, &a, arena, &bias))
        return PLN_E_NOMEM;
    if (p.has_bias || !pln_made_is_uniform(&bias) || bias.v[0] != 0)
        in[2] = pln_made_emit(patch, &bias, vector_like(m, &p), "bias");
    pln_node *n = in[1] ? pln_patch_copy(patch, p.node, in, in[2] ? 3 : 2) : NULL;
    if (!n)
        return PLN_E_NOMEM;
    pln_patch_replace(patch, m->root->out[0], n->out[0]);
    return PLN_OK;
}

#define PRODUCT "y=Conv|ConvTranspose|Gemm!(x, w, b?)"

static const pln_rule rules[] = {
    { .name = "made-bn",
      .match = "BatchNormalization(" PRODUCT ", ...)",
      .build = build,
      .contract = PLN_REASSOC },
    { .name = "made-affine",
      .match = "Add|Mul~(" PRODUCT ", c)",
      .build = build,
      .contract = PLN_REASSOC },
    { .name = "made-affine",
      .match = "Sub|Div(" PRODUCT ", c)",
      .build = build,
      .contract = PLN_REASSOC },
};

const pln_pass pln_pass_fold_made = {
    .name = "fold-made",
    .brief = "folds batch norms, scales and offsets into weights that nodes make",
    PLN_RULES(rules),
};
