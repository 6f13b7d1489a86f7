/* fold-conv-bn: a batch normalization, or a scale and offset for each channel, goes into
 * the weights and the bias of the product before it, also through what only moves
 * elements.
 *
 *     BatchNormalization(Conv(x, w))        => Conv(x, w', b')
 *     Mul(Reshape(Add(MatMul(x, w), b)), 2) => Reshape(Add(MatMul(x, w'), b'))
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/product.h"

#include <string.h>

#define MAX_MOVES 4

/* From the product to the affine node at the root. */
typedef struct path {
    pln_product p;
    pln_node *add; /* of a bias behind a MatMul; NULL */
    pln_value *bias;
    pln_node *move[MAX_MOVES]; /* the last one first */
    int n_moves;
    int axis; /* of the channels at the root; -1: not known */
    bool makes_gemm;
} path;

/* ---- the way back ----------------------------------------------------------------- */

static bool is_move(const pln_node *n)
{
    static const char *const ops[] = { "Reshape", "Transpose", "Flatten", "Squeeze",
                                       "Unsqueeze" };
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (pln_node_is(n, ops[i]))
            return true;
    return false;
}

static pln_node *made_for(const pln_value *v, const pln_node *user)
{
    return pln_value_is_single_use(v) && v->def && v->def->graph == user->graph ? v->def
                                                                                : NULL;
}

/* Where axis `a` of a move's input is in its result; -1: not in one place. */
static int axis_behind(const pln_node *n, int a)
{
    int64_t perm[PLN_MAX_RANK];
    int rank;
    const pln_value *x = n->in[0], *y = n->out[0];
    if (a < 0)
        return -1;
    if (pln_node_is(n, "Transpose")) {
        for (int i = 0; pln_perm_of(n, perm, &rank) && i < rank; i++)
            if (perm[i] == a)
                return i;
        return -1;
    }
    const int ra = pln_value_rank(x), rb = pln_value_rank(y);
    if (ra < 1 || rb < 1)
        return -1;
    const pln_dim last = x->type.shape.dims[ra - 1];
    return a == ra - 1 && !pln_dim_is_unknown(last) &&
                   pln_dim_equal(last, y->type.shape.dims[rb - 1])
               ? rb - 1
               : -1;
}

static bool take_product(path *w, pln_node *n)
{
    if (pln_product_read(n, &w->p))
        return true;
    pln_value *x = pln_node_is(n, "Add") ? pln_affine_input(n) : NULL;
    pln_node *y = x ? made_for(x, n) : NULL;
    if (!y || !pln_node_is(y, "MatMul") || !pln_product_read(y, &w->p) ||
        !pln_value_same_type(n->out[0], y->out[0]))
        return false;
    w->add = n;
    w->bias = n->in[n->in[0] == x ? 1 : 0];
    return true;
}

static pln_status find(pln_match *m, path *w)
{
    *w = (path){ .axis = -1 };
    const pln_value *v = pln_affine_input(m->root);
    pln_node *n = v ? made_for(v, m->root) : NULL;
    while (n && is_move(n) && w->n_moves < MAX_MOVES) {
        w->move[w->n_moves++] = n;
        n = made_for(n->in[0], n);
    }
    if (!n || !take_product(w, n))
        return pln_match_refuse(m, "no product with constant weights of its own");
    if (pln_value_rank(w->p.node->out[0]) < 2)
        return pln_match_refuse(m, "rank not known");
    w->axis = pln_product_axis(&w->p);
    for (int i = w->n_moves - 1; i >= 0; i--)
        w->axis = axis_behind(w->move[i], w->axis);
    return PLN_OK;
}

/* ---- check ------------------------------------------------------------------------ */

/* A MatMul takes a shift only where that saves a node: in the Add that is there, or for a
 * batch normalization. */
static pln_status check_matmul(pln_match *m, path *w, const pln_affine *a)
{
    const bool norm = pln_node_is(m->root, "BatchNormalization");
    if (!pln_node_is(w->p.node, "MatMul") || w->add || !pln_affine_shifts(a))
        return PLN_OK;
    if (!norm && !pln_node_is(m->root, "Sub"))
        return pln_match_refuse(m, "it would remain an Add");
    if (!norm && pln_affine_input(m->root) == m->root->in[0])
        return pln_match_refuse(m, "it would remain an Add");
    w->makes_gemm = norm && pln_value_rank(w->p.node->out[0]) == 2 &&
                    pln_pass_allows_opset(m->ctx, 7);
    return PLN_OK;
}

static pln_status read_path(pln_match *m, path *w, pln_affine *a)
{
    PLN_TRY(find(m, w));
    if (w->p.alpha != 1 || w->p.beta != 1)
        return pln_match_refuse(m, "it has factors of its own");
    PLN_TRY(pln_affine_read(m, m->root, w->axis, w->p.n_out, a));
    for (int64_t i = 0; i < a->n; i++)
        if (a->mul[i] == 0)
            return pln_match_refuse(m, "a factor is 0");
    return check_matmul(m, w, a);
}

/* ---- build ------------------------------------------------------------------------ */

static pln_value *bias_in_product(pln_match *m, pln_patch *p, const path *w,
                                  const pln_affine *a)
{
    double *b = PLN_NEW_ARRAY(m->ctx->scratch, double, a->n);
    if (!b || !pln_product_bias(&w->p, b))
        return NULL;
    for (int64_t i = 0; i < a->n; i++)
        b[i] = b[i] * a->mul[i] + a->add[i];
    return pln_patch_vector(p, w->p.w->type.dtype, b, a->n,
                            w->p.b ? w->p.b->name : "bias");
}

/* Of the Add behind a MatMul: b mul + add. */
static pln_value *bias_behind(pln_patch *p, const path *w, const pln_affine *a)
{
    const pln_dtype dt = w->p.w->type.dtype;
    pln_value *add = pln_affine_shifts(a) ? pln_patch_vector(p, dt, a->add, a->n, "bias")
                                          : NULL;
    if (!w->add)
        return add;
    pln_value *b = w->bias, *mul;
    if (pln_affine_scales(a)) {
        mul = pln_patch_vector(p, dt, a->mul, a->n, "scale");
        b = mul ? pln_patch_combine(p, b, '*', mul) : NULL;
    }
    return b && pln_affine_shifts(a) ? pln_patch_combine(p, b, '+', add) : b;
}

static pln_value *product_of(pln_match *m, pln_patch *p, const path *w,
                             const pln_affine *a)
{
    pln_value *scaled =
        pln_affine_scales(a) ? pln_product_scale_out(p, &w->p, a->mul) : w->p.w;
    pln_value *in[3] = { w->p.node->in[0], scaled, NULL };
    const bool matmul = pln_node_is(w->p.node, "MatMul");
    if (!scaled)
        return NULL;
    if (matmul && !w->makes_gemm) {
        pln_value *y = pln_patch_op2(p, "MatMul", in[0], in[1]);
        if (!w->add && !pln_affine_shifts(a))
            return y;
        pln_value *b = bias_behind(p, w, a);
        return b ? pln_patch_op2(p, "Add", y, b) : NULL;
    }
    const bool keeps = !matmul && !w->p.b && !pln_affine_shifts(a);
    if (!keeps && !(in[2] = bias_in_product(m, p, w, a)))
        return NULL;
    pln_node *n = matmul ? pln_patch_add(p, "Gemm", in, 3, 1)
                         : pln_patch_copy(p, w->p.node, in, in[2] ? 3 : 2);
    return n ? n->out[0] : NULL;
}

static pln_status build(pln_match *m, pln_patch *p)
{
    path w;
    pln_affine a;
    PLN_TRY(read_path(m, &w, &a));
    pln_value *y = product_of(m, p, &w, &a);
    if (!y)
        return pln_match_refuse(m, "its bias is a matrix, or a number is not finite");
    for (int i = w.n_moves - 1; i >= 0; i--) {
        pln_value *in[2] = { y, w.move[i]->n_in > 1 ? w.move[i]->in[1] : NULL };
        pln_node *n = pln_patch_copy(p, w.move[i], in, w.move[i]->n_in);
        if (!n)
            return PLN_E_NOMEM;
        y = n->out[0];
    }
    pln_patch_replace(p, m->root->out[0], y);
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .name = "conv-bn",
      .match = "BatchNormalization(y, ...)",
      .build = build,
      .contract = PLN_REASSOC },
    { .name = "conv-affine",
      .match = "Add|Sub|Mul|Div(a, b)",
      .build = build,
      .contract = PLN_REASSOC },
    { .name = "conv-affine", .match = "Neg(y)", .build = build, .contract = PLN_REASSOC },
};

const pln_pass pln_pass_fold_conv_bn = {
    .name = "fold-conv-bn",
    .brief = "folds batch norms, scales and offsets into the product before them",
    PLN_RULES(rules),
};
