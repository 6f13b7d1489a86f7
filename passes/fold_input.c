/* fold-input: a batch normalization, or a scale and offset for each channel, goes into
 * the weights and the bias of the product behind it, also through what only moves
 * elements.
 *
 *     Conv(Div(Sub(x, mean), std), w, b)            => Conv(x, w', b')
 *     Gemm(Flatten(BatchNormalization(x)), w, b)    => Gemm(Flatten(x), w', b')
 *     Add(MatMul(Add(x, c), w), b)                  => Add(MatMul(x, w), b')
 *
 * An offset goes into a Conv only where nothing is padded: beyond the border there is
 * none. Where something is, the factor goes past the offset:
 *
 *     Conv(Sub(Div(x, 127.5), 1), w)                => Conv(Sub(x, 127.5), w')
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/product.h"

#define MAX_MOVES 3

/* From the affine node to the product at the root. */
typedef struct path {
    pln_product p;
    pln_node *move[MAX_MOVES]; /* the last one first */
    int n_moves;
    pln_node *affine;
    int axis;     /* of the channels in the affine node's result; -1: not known */
    int64_t run;  /* input channels of the product for each of those */
    pln_node *add; /* of a bias behind a MatMul; NULL */
} path;

static pln_node *made_for(const pln_value *v, const pln_node *user)
{
    return pln_value_is_single_use(v) && v->def && v->def->graph == user->graph ? v->def
                                                                                : NULL;
}

/* ---- the way back ----------------------------------------------------------------- */

/* A Flatten or Reshape to a matrix of all that follows axis 1. */
static bool flattens(const pln_node *n, int64_t *run)
{
    const pln_value *x = n->in[0], *y = n->out[0];
    const int rank = pln_value_rank(x);
    int64_t all = 1;
    if (rank < 2 || pln_value_rank(y) != 2)
        return false;
    for (int i = 1; i < rank; i++) {
        if (!pln_dim_is_known(x->type.shape.dims[i]) ||
            x->type.shape.dims[i].value > INT32_MAX || all > INT32_MAX)
            return false;
        all *= x->type.shape.dims[i].value;
    }
    const int64_t channels = x->type.shape.dims[1].value;
    if (all < 1 || channels < 1 || !pln_dim_is(y->type.shape.dims[1], all))
        return false;
    *run = all / channels;
    return true;
}

/* Follows the channels' axis from a move's result to its input. */
static bool take_move(path *w, pln_node *n)
{
    int64_t perm[PLN_MAX_RANK], run;
    int rank;
    if (w->n_moves == MAX_MOVES)
        return false;
    if (pln_node_is(n, "Transpose")) {
        if (!pln_perm_of(n, perm, &rank) || w->axis >= rank)
            return false;
        w->axis = w->axis < 0 ? -1 : (int)perm[w->axis];
    } else if (pln_node_is(n, "Flatten") || pln_node_is(n, "Reshape")) {
        const bool flat = w->axis == 1 && w->run == 1 && flattens(n, &run);
        w->axis = flat ? 1 : -1;
        w->run = flat ? run : 1;
    } else {
        return false;
    }
    w->move[w->n_moves++] = n;
    return true;
}

/* Nothing but constants is added behind it. */
static pln_node *constant_addend(const pln_node *n)
{
    const pln_value *y = n->out[0];
    pln_node *u = pln_value_only_user(y);
    return u && u->graph == n->graph && pln_node_is(u, "Add") &&
                   pln_affine_input(u) == y && pln_value_same_type(u->out[0], y)
               ? u
               : NULL;
}

static pln_status find(pln_match *m, path *w)
{
    *w = (path){ .run = 1 };
    pln_node *n = m->root->n_in && m->root->in[0] ? made_for(m->root->in[0], m->root)
                                                  : NULL;
    if (!n || (!pln_node_is_affine(n) && !pln_node_is(n, "Transpose") &&
               !pln_node_is(n, "Flatten") && !pln_node_is(n, "Reshape")))
        return pln_match_refuse(m, "nothing before it that could go in");
    if (!pln_product_read(m->root, &w->p))
        return pln_match_refuse(m, "no constant weights of its own");
    const int rank = pln_value_rank(m->root->in[0]);
    if (rank < 2)
        return pln_match_refuse(m, "rank not known");
    w->axis = w->p.conv ? 1 : rank - 1;
    while (n && !pln_node_is_affine(n))
        n = take_move(w, n) ? made_for(n->in[0], n) : NULL;
    if (!n)
        return pln_match_refuse(m, "nothing before it that could go in");
    w->affine = n;
    w->add = pln_node_is(m->root, "MatMul") ? constant_addend(m->root) : NULL;
    return PLN_OK;
}

/* ---- check ------------------------------------------------------------------------ */

static pln_status check_shift(pln_match *m, const path *w)
{
    if (!pln_product_is_unpadded(&w->p))
        return pln_match_refuse(m, "an offset, where its input is padded");
    const bool matmul = pln_node_is(m->root, "MatMul");
    if (matmul && !w->add &&
        !(pln_value_rank(m->root->out[0]) == 2 && pln_pass_allows_opset(m->ctx, 7)))
        return pln_match_refuse(m, "an offset, and no bias behind it");
    return PLN_OK;
}

static pln_status read_path(pln_match *m, path *w, pln_affine *a)
{
    PLN_TRY(find(m, w));
    if (w->p.n_in % w->run)
        return pln_match_refuse(m, "its channels are not those of the product");
    PLN_TRY(pln_affine_read(m, w->affine, w->axis, w->p.n_in / w->run, a));
    for (int64_t i = 0; i < a->n; i++)
        if (a->mul[i] == 0)
            return pln_match_refuse(m, "a factor is 0");
    return pln_affine_shifts(a) ? check_shift(m, w) : PLN_OK;
}

/* ---- build ------------------------------------------------------------------------ */

/* The bias with what the offset comes to. */
static pln_value *shifted_bias(pln_match *m, pln_patch *p, const path *w,
                               const pln_affine *a)
{
    const int64_t n = w->p.n_out;
    double *sum = PLN_NEW_ARRAY(m->ctx->scratch, double, n);
    double *b = PLN_NEW_ARRAY(m->ctx->scratch, double, n);
    if (!sum || !b || !pln_product_sum_in(&w->p, a->add, w->run, sum) ||
        !pln_product_bias(&w->p, b))
        return NULL;
    for (int64_t i = 0; i < n; i++)
        b[i] += sum[i] * w->p.alpha / w->p.beta;
    pln_value *v = pln_patch_vector(p, w->p.w->type.dtype, b, n,
                                    w->p.b ? w->p.b->name : "bias");
    if (!v || !w->add)
        return v;
    return pln_patch_combine(p, w->add->in[w->add->in[0] == m->root->out[0] ? 1 : 0], '+',
                             v);
}

static pln_value *moved_input(pln_patch *p, const path *w, pln_value *x)
{
    for (int i = w->n_moves - 1; i >= 0 && x; i--) {
        pln_value *in[2] = { x, w->move[i]->n_in > 1 ? w->move[i]->in[1] : NULL };
        pln_node *n = pln_patch_copy(p, w->move[i], in, w->move[i]->n_in);
        x = n ? n->out[0] : NULL;
    }
    return x;
}

static pln_status emit(pln_match *m, pln_patch *p, const path *w, pln_value *const *in,
                       bool shifts)
{
    if (shifts && w->add) {
        pln_value *y = pln_patch_op2(p, "MatMul", in[0], in[1]);
        pln_patch_replace(p, w->add->out[0], pln_patch_op2(p, "Add", y, in[2]));
        return PLN_OK;
    }
    const bool gemm = shifts && pln_node_is(m->root, "MatMul");
    pln_node *n = gemm ? pln_patch_add(p, "Gemm", in, 3, 1)
                       : pln_patch_copy(p, m->root, in, in[2] ? 3 : 2);
    if (!n)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

static pln_status build(pln_match *m, pln_patch *p)
{
    path w;
    pln_affine a;
    PLN_TRY(read_path(m, &w, &a));
    const bool shifts = pln_affine_shifts(&a);
    pln_value *in[3] = { NULL, w.p.w, w.p.b };
    if (pln_affine_scales(&a))
        in[1] = pln_product_scale_in(p, &w.p, a.mul, w.run);
    if (shifts && in[1])
        in[2] = shifted_bias(m, p, &w, &a);
    if (!in[1] || (shifts && !in[2]))
        return pln_match_refuse(m, "its bias is a matrix, or a number is not finite");
    in[0] = moved_input(p, &w, pln_affine_input(w.affine));
    return emit(m, p, &w, in, shifts);
}

/* ---- past an offset ---------------------------------------------------------------- */

/* Of the node before the offset; false: it does not scale. */
static pln_status read_factor(pln_match *m, const path *w, pln_node *f, pln_affine *a)
{
    PLN_TRY(pln_affine_read(m, f, w->axis, a->n, a));
    for (int64_t i = 0; i < a->n; i++)
        if (a->mul[i] == 0)
            return pln_match_refuse(m, "a factor is 0");
    return pln_affine_scales(a) ? PLN_OK : pln_match_refuse(m, "no factor");
}

static pln_status build_past(pln_match *m, pln_patch *p)
{
    path w;
    pln_affine a, f;
    PLN_TRY(find(m, &w));
    pln_node *g = made_for(pln_affine_input(w.affine), w.affine);
    if (!w.p.conv || w.run != 1 || w.axis < 0 || !g || !pln_node_is_affine(g))
        return pln_match_refuse(m, "no factor before an offset");
    PLN_TRY(pln_affine_read(m, w.affine, w.axis, w.p.n_in, &a));
    if (pln_affine_scales(&a))
        return pln_match_refuse(m, "no factor before an offset");
    f.n = a.n;
    PLN_TRY(read_factor(m, &w, g, &f));
    for (int64_t i = 0; i < a.n; i++)
        a.add[i] = (f.add[i] + a.add[i]) / f.mul[i];
    const int rank = pln_value_rank(w.affine->out[0]);
    pln_value *c = pln_patch_channels(p, w.p.w->type.dtype, a.add, a.n, rank - 1 - w.axis,
                                      "offset");
    pln_value *in[3] = { NULL, pln_product_scale_in(p, &w.p, f.mul, 1), w.p.b };
    if (!c || !in[1])
        return pln_match_refuse(m, "a number is not finite");
    in[0] = moved_input(p, &w, pln_patch_op2(p, "Add", pln_affine_input(g), c));
    return emit(m, p, &w, in, false);
}

static const pln_rule rules[] = {
    { .match = "Conv|ConvTranspose|Gemm|MatMul(x, w#, ...)",
      .build = build,
      .contract = PLN_REASSOC },
    { .name = "factor-past-offset",
      .match = "Conv|ConvTranspose(x, w#, ...)",
      .build = build_past,
      .contract = PLN_REASSOC },
};

const pln_pass pln_pass_fold_input = {
    .name = "fold-input",
    .brief = "folds batch norms, scales and offsets into the product behind them",
    PLN_RULES(rules),
};
