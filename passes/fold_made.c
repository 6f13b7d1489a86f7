/* fold-made: as fold-conv-bn does, where the weights, or what is folded into them, are
 * no constants yet: ConstantOfShape, Expand and the like make them, and they are too
 * large to be folded. The weights stay such a node, with other numbers.
 *
 *     Mul(Conv(x, ConstantOfShape<value=[2]>(s)), 3) => Conv(x, ConstantOfShape<value=[6]>(s))
 *     BatchNormalization(Conv(x, ConstantOfShape(s)), ...)
 *       => Conv(x, Expand(w, s), b)                     w is one number for each channel
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/affine.h"
#include "passes/made.h"

typedef struct product {
    pln_node *node;
    int axis; /* of the weights' output channels */
    int64_t n;
    pln_made w, b;
    bool has_bias;
} product;

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

/* Besides x, it reads what is no constant. */
static bool reads_more(const pln_node *n, const pln_value *x)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] && n->in[i] != x && !pln_value_is_const(n->in[i]))
            return true;
    return false;
}

static pln_status read_product(pln_match *m, product *p)
{
    pln_arena *arena = m->ctx->scratch;
    p->node = pln_match_node(m, "y");
    const pln_value *w = p->node->in[1], *b = p->node->n_in > 2 ? p->node->in[2] : NULL;
    if (pln_value_is_const(w) && w->n_uses > 1)
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
    return PLN_OK;
}

/* ---- what follows --------------------------------------------------------------- */

static pln_status read_affine(pln_match *m, const product *p, pln_affine *a)
{
    const pln_value *y = p->node->out[0];
    const int rank = pln_value_rank(y);
    if (rank < 2)
        return pln_match_refuse(m, "rank not known");
    PLN_TRY(pln_affine_read_of(m, m->root, y, pln_node_is(p->node, "Gemm") ? rank - 1 : 1, p->n, a));
    for (int64_t i = 1; i < a->n; i++)
        if (a->mul[i] != a->mul[0] || a->add[i] != a->add[0])
            return PLN_OK;
    a->n = 1; /* the same for all */
    return PLN_OK;
}

/* ---- build ---------------------------------------------------------------------- */

static bool add_bias(product *p, const pln_affine *a, pln_arena *arena, pln_made *out)
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
    pln_affine a = { .n = 0 };
    pln_made bias;
    pln_arena *arena = m->ctx->scratch;
    const pln_node *y = pln_match_node(m, "y");
    if (!reads_more(y, y->in[0]) && !reads_more(m->root, y->out[0]))
        return pln_match_refuse(m, "all of it is constant");
    PLN_TRY(read_product(m, &p));
    PLN_TRY(read_affine(m, &p, &a));
    pln_value *w = p.node->in[1];
    pln_value *in[3] = { p.node->in[0], w, NULL };
    if (pln_affine_scales(&a)) {
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
