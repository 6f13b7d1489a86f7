/* fold-order: channels that come to a product in another order, or leave it in another
 * one, where its weights can have that order themselves.
 *
 *     Conv(Gather<axis=1>(x, [2, 1, 0]), w)     => Conv(x, w')
 *     Gather<axis=-1>(MatMul(x, w), [3, 1, 0])  => MatMul(x, w')
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pick.h"
#include "passes/product.h"

static bool is_permutation(const pln_pick *o, pln_arena *arena)
{
    bool *seen = PLN_NEW_ARRAY(arena, bool, o->n);
    if (!seen || o->n != o->n_x)
        return false;
    for (int64_t i = 0; i < o->n; i++) {
        if (seen[o->at[i]])
            return false;
        seen[o->at[i]] = true;
    }
    return true;
}

/* ---- weights --------------------------------------------------------------------- */

/* Along `axis` of the weights: what stands at from[i] comes to place to[i] of n. */
static pln_value *moved_weights(pln_patch *p, const pln_product *pr, int axis,
                                const int64_t *from, const int64_t *to, int64_t n)
{
    pln_tensor *w = pr->w->cst, *t = NULL;
    int64_t dims[PLN_MAX_RANK], outer = 1, inner = 1;
    if (pln_tensor_materialize(w, NULL) != PLN_OK)
        return NULL;
    for (int i = 0; i < w->rank; i++) {
        dims[i] = i == axis ? n : w->dims[i];
        *(i < axis ? &outer : &inner) *= i == axis ? 1 : w->dims[i];
    }
    if (pln_tensor_make(p->graph->model->alloc, (pln_dtype)w->dtype, w->rank, dims, &t,
                        NULL) != PLN_OK)
        return NULL;
    for (int64_t k = 0; k < outer; k++)
        for (int64_t i = 0; i < n; i++)
            pln_tensor_copy(t, (k * n + (to ? to[i] : i)) * inner, w,
                            (k * w->dims[axis] + (from ? from[i] : i)) * inner, inner);
    return pln_patch_const(p, t, pr->w->name);
}

static pln_status before(pln_match *m, pln_patch *p)
{
    pln_pick o;
    pln_product pr;
    pln_arena *arena = m->ctx->scratch;
    if (!pln_product_read(m->root, &pr) || pr.groups != 1)
        return pln_match_refuse(m,
                                "not a product of all channels with weights of its own");
    if (!pln_pick_read(m->root->in[0], arena, &o) || o.n != pr.n_in ||
        !is_permutation(&o, arena) || o.axis != (pr.conv ? 1 : pln_value_rank(o.x) - 1))
        return pln_match_refuse(
            m, "its input is not another one with its channels in another order");
    pln_value *w = moved_weights(p, &pr, pr.in_first ? 0 : 1, NULL, o.at, o.n);
    pln_value *in[3] = { o.x, w, pr.b };
    pln_node *n = w ? pln_patch_copy(p, m->root, in, pr.b ? 3 : 2) : NULL;
    pln_patch_replace(p, m->root->out[0], n ? n->out[0] : NULL);
    return PLN_OK;
}

static pln_value *moved_bias(pln_match *m, pln_patch *p, const pln_product *pr,
                             const pln_pick *o)
{
    double *b = PLN_NEW_ARRAY(m->ctx->scratch, double, pr->n_out);
    double *c = PLN_NEW_ARRAY(m->ctx->scratch, double, o->n);
    if (!b || !c || !pln_product_bias(pr, b))
        return NULL;
    for (int64_t i = 0; i < o->n; i++)
        c[i] = b[o->at[i]];
    return pln_patch_vector(p, (pln_dtype)pr->b->cst->dtype, c, o->n, pr->b->name);
}

static pln_status behind(pln_match *m, pln_patch *p)
{
    pln_pick o;
    pln_product pr;
    pln_node *y = pln_match_node(m, "y");
    if (!pln_product_read(y, &pr) || pr.groups != 1)
        return pln_match_refuse(m,
                                "not a product of all channels with weights of its own");
    if (!pln_pick_read(m->root->out[0], m->ctx->scratch, &o) || o.x != y->out[0] ||
        o.n_x != pr.n_out || o.n > pr.n_out || o.axis != pln_product_axis(&pr))
        return pln_match_refuse(m, "not its channels in another order");
    pln_value *in[3] = { y->in[0],
                         moved_weights(p, &pr, pr.in_first ? 1 : 0, o.at, NULL, o.n),
                         NULL };
    in[2] = pr.b ? moved_bias(m, p, &pr, &o) : NULL;
    if (!in[1] || (pr.b && !in[2]))
        return pln_match_refuse(m, "its bias is not one number for each channel");
    pln_node *n = pln_patch_copy(p, y, in, pr.b ? 3 : 2);
    pln_patch_replace(p, m->root->out[0], n ? n->out[0] : NULL);
    return PLN_OK;
}

#define PRODUCT "Conv|ConvTranspose|Gemm|MatMul"

static const pln_rule rules[] = {
    { .name = "order-before",
      .match = PRODUCT "(Gather|Slice|Concat|Reshape!(_, ...), w#, ...)",
      .build = before,
      .contract = PLN_REASSOC },
    { .name = "order-behind",
      .match = "Gather|Slice(y=" PRODUCT "!(x, w#, ...), ...)",
      .build = behind },
    { .name = "order-behind",
      .match = "Reshape(Transpose!(Reshape!(y=" PRODUCT "!(x, w#, ...), _)), _)",
      .build = behind },
};

const pln_pass pln_pass_fold_order = {
    .name = "fold-order",
    .brief = "orders of channels into the weights of products",
    PLN_RULES(rules),
};
