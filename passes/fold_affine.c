/* fold-affine: a scale and offset goes into those of the norm before it; a batch
 * normalization takes those on both sides.
 *
 *     Add(Mul(LayerNormalization(x, s, b), m), c) => LayerNormalization(x, s m, b m + c)
 *     BatchNormalization(Mul(x, m))               => BatchNormalization(x)
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/affine.h"

/* ---- norms that end with a scale and, but for RMSNormalization, an offset -------- */

/* Axes of x that its scale lies on: the last ones, or axis 1. */
static int64_t first_axis(const pln_node *n, int rank)
{
    if (pln_node_is(n, "InstanceNormalization") || pln_node_is(n, "GroupNormalization"))
        return 1;
    const int64_t axis = pln_node_get_int(n, "axis", -1);
    return axis < 0 ? axis + rank : axis;
}

/* The constant, of the scale's own rank, as it lies on the axes of the scale. NULL: it
 * varies along others. */
static pln_value *on_scale_axes(pln_patch *p, const pln_node *norm, pln_value *c)
{
    const int rank = pln_value_rank(norm->out[0]);
    const bool channels = first_axis(norm, rank) == 1 &&
                          !pln_node_is(norm, "LayerNormalization") &&
                          !pln_node_is(norm, "RMSNormalization");
    const int64_t from = first_axis(norm, rank), to = channels ? 2 : rank;
    int64_t shape[PLN_MAX_RANK], n = 0;
    if (rank < 1 || c->cst->rank > rank || from < 0)
        return NULL;
    for (int64_t i = 0; i < rank; i++) {
        const int64_t k = i - (rank - c->cst->rank);
        const int64_t d = k < 0 ? 1 : c->cst->dims[k];
        if (i >= from && i < to)
            shape[n++] = d;
        else if (d != 1)
            return NULL;
    }
    pln_tensor *t = NULL;
    if (pln_tensor_materialize(c->cst, NULL) != PLN_OK ||
        pln_tensor_make(c->graph->model->alloc, c->type.dtype, (int)n, shape, &t, NULL) !=
            PLN_OK)
        return NULL;
    for (int64_t i = 0; i < pln_tensor_size(t); i++)
        pln_tensor_set_f64(t, i, pln_tensor_get_f64(c->cst, i));
    return pln_patch_const(p, t, c->name);
}

static char symbol_of(const pln_node *n)
{
    return pln_node_is(n, "Add")   ? '+'
           : pln_node_is(n, "Sub") ? '-'
           : pln_node_is(n, "Mul") ? '*'
                                   : '/';
}

static bool is_like(const pln_value *v, const pln_value *scale)
{
    return v && pln_value_count(v) == pln_value_count(scale);
}

static pln_status into_norm(pln_match *m, pln_patch *p)
{
    pln_node *norm = pln_match_node(m, "norm");
    pln_value *s = pln_match_val(m, "s"), *b = pln_match_val(m, "b");
    const pln_value *y = pln_match_val(m, "norm");
    const char op = symbol_of(m->root);
    const bool product = op == '*' || op == '/';
    if (!pln_value_same_type(y, m->root->out[0]) || (b && !pln_value_is_const(b)) ||
        s->type.dtype != y->type.dtype || norm->n_in > 3)
        return pln_match_refuse(m, "the constant makes the result larger");
    if (pln_node_has_other_outputs(norm))
        return pln_match_refuse(m, "its statistics are used");
    if (!product && pln_node_is(norm, "RMSNormalization"))
        return pln_match_refuse(m, "it has no offset");
    pln_value *c = on_scale_axes(p, norm, pln_match_val(m, "c"));
    if (!c)
        return pln_match_refuse(m, "the constant varies along other axes");
    pln_value *in[3] = { norm->in[0], s, b };
    if (product)
        in[1] = pln_patch_combine(p, s, op, c);
    if (product && b)
        in[2] = pln_patch_combine(p, b, op, c);
    if (!product && b)
        in[2] = pln_patch_combine(p, b, op, c);
    else if (!product) /* s - s + c has all elements of a row */
        in[2] = pln_patch_combine(p, pln_patch_combine(p, s, '-', s), op, c);
    if (!is_like(in[1], s) || ((b || !product) && !is_like(in[2], s)))
        return pln_match_refuse(m, "scale and constant don't combine");
    pln_node *n = pln_patch_copy(p, norm, in, in[2] ? 3 : 2);
    pln_patch_replace(p, m->root->out[0], n ? n->out[0] : NULL);
    return PLN_OK;
}

/* ---- batch normalization ----------------------------------------------------------- */

/* first, then second; what comes out is a batch normalization with the second's
 * variance. */
static pln_status emit_both(pln_match *m, pln_patch *p, pln_value *x, const pln_node *bn,
                            const pln_affine *all)
{
    const pln_value *v = bn->in[4];
    const int64_t n = all->n;
    const pln_dtype dt = bn->in[1]->type.dtype;
    double *scale = PLN_NEW_ARRAY(m->ctx->scratch, double, n);
    double *zero = PLN_NEW_ARRAY(m->ctx->scratch, double, n);
    double *one = PLN_NEW_ARRAY(m->ctx->scratch, double, n);
    if (!scale || !zero || !one)
        return PLN_E_NOMEM;
    const double eps = pln_node_get_float(bn, "epsilon", 1e-5f);
    for (int64_t i = 0; i < n; i++) {
        one[i] = 1 - eps;
        scale[i] = all->mul[i];
    }
    pln_value *in[5] = { x, pln_patch_vector(p, dt, scale, n, bn->in[1]->name),
                         pln_patch_vector(p, dt, all->add, n, bn->in[2]->name),
                         pln_patch_vector(p, bn->in[3]->type.dtype, zero, n,
                                          bn->in[3]->name),
                         pln_patch_vector(p, v->type.dtype, one, n, v->name) };
    if (!in[1] || !in[2] || !in[3] || !in[4])
        return pln_match_refuse(m, "a number is not finite");
    pln_node *made = pln_patch_copy(p, bn, in, 5);
    pln_patch_replace(p, m->root->out[0], made ? made->out[0] : NULL);
    return PLN_OK;
}

static pln_status with_batch_norm(pln_match *m, pln_patch *p)
{
    const pln_value *y = pln_affine_input(m->root);
    pln_node *first = y && pln_value_is_single_use(y) ? y->def : NULL;
    if (!first || first->graph != m->root->graph || !pln_node_is_affine(first))
        return pln_match_refuse(m, "not two of them");
    const pln_node *bn = pln_node_is(m->root, "BatchNormalization") ? m->root : first;
    if (!pln_node_is(bn, "BatchNormalization") || bn->n_in < 5 || !bn->in[1] ||
        !pln_value_is_const(bn->in[1]) || bn->in[1]->cst->rank != 1)
        return pln_match_refuse(m, "neither is a constant batch normalization");
    pln_affine a, b;
    const int64_t n = bn->in[1]->cst->dims[0];
    PLN_TRY(pln_affine_read(m, first, 1, n, &a));
    PLN_TRY(pln_affine_read(m, m->root, 1, n, &b));
    for (int64_t i = 0; i < n; i++) {
        a.mul[i] *= b.mul[i];
        a.add[i] = a.add[i] * b.mul[i] + b.add[i];
    }
    return emit_both(m, p, pln_affine_input(first), bn, &a);
}

#define NORM                                                          \
    "norm=LayerNormalization|RMSNormalization|InstanceNormalization|" \
    "GroupNormalization!(x, s#, b?)"

static const pln_rule rules[] = {
    { .name = "norm-affine",
      .match = "Add|Mul~(" NORM ", c#)",
      .build = into_norm,
      .contract = PLN_REASSOC },
    { .name = "norm-affine",
      .match = "Sub|Div(" NORM ", c#)",
      .build = into_norm,
      .contract = PLN_REASSOC },
    { .name = "bn-affine",
      .match = "BatchNormalization(x, s#, b#, u#, v#)",
      .build = with_batch_norm,
      .contract = PLN_REASSOC },
    { .name = "bn-affine",
      .match = "Add|Mul~(BatchNormalization!(x, s#, b#, u#, v#), c#)",
      .build = with_batch_norm,
      .contract = PLN_REASSOC },
    { .name = "bn-affine",
      .match = "Sub|Div(BatchNormalization!(x, s#, b#, u#, v#), c#)",
      .build = with_batch_norm,
      .contract = PLN_REASSOC },
};

const pln_pass pln_pass_fold_affine = {
    .name = "fold-affine",
    .brief = "folds scales and offsets into the norms before and around them",
    PLN_RULES(rules),
};
