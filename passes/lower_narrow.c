/* lower-narrow: products with constant weights that a Cast or a DequantizeLinear widens
 * become planish.DequantMatMul, whose kernel widens a block at a time: the weights stay
 * as small in memory as they are in the file.
 *
 *     MatMul(x, DequantizeLinear(w, s, z)) + b => DequantMatMul(x, w, s, z, b)
 *     MatMul(x, Cast(w))                       => DequantMatMul(x, w)
 *
 * The values are those of the widened weights. For few rows the kernel is up to three
 * times as fast as one that reads wide weights, since memory is the limit there; for many
 * it was measured 3 to 15% slower, and for small matrices at 8 rows 17%, for a fraction
 * of the memory. So it takes all sizes, and a session leaves only weights alone that are
 * too small for memory to matter.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/fuse.h"
#include "passes/pass.h"

#include <string.h>

#define SMALL 4096 /* elements: wide ones fit the first cache */

/* Scales and zero points: one, or one for each column, or blocks along the rows. */
static bool has_place(const pln_value *v, int64_t n, bool blocked)
{
    if (blocked)
        return pln_value_rank(v) == 2;
    return pln_value_count(v) == 1 || (pln_value_rank(v) == 1 && pln_value_count(v) == n);
}

static pln_status check_scales(pln_match *m, const pln_node *d, bool trans_b,
                               bool blocked)
{
    const pln_value *w = d->in[0], *s = d->in[1], *z = pln_match_val(m, "z");
    const int columns = trans_b ? 0 : 1;
    int64_t axis = pln_node_get_int(d, "axis", 1);
    axis += axis < 0 ? 2 : 0;
    if (s->type.dtype != PLN_DT_F32 || d->out[0]->type.dtype != PLN_DT_F32)
        return pln_match_refuse(m, "its scales are not float");
    if (blocked ? axis == columns : pln_value_count(s) != 1 && axis != columns)
        return pln_match_refuse(m, "its scales do not belong to columns");
    if (!has_place(s, w->cst->dims[columns], blocked) ||
        (z && !has_place(z, w->cst->dims[columns], blocked)))
        return pln_match_refuse(m, "its scales do not fit");
    return PLN_OK;
}

static pln_status check_weights(pln_match *m, const pln_value *w)
{
    if (pln_value_rank(w) != 2)
        return pln_match_refuse(m, "its weights are not one matrix");
    if (m->ctx->options->session && pln_value_count(w) <= SMALL)
        return pln_match_refuse(m, "its weights are small");
    return PLN_OK;
}

/* What the product multiplies by goes behind it. */
static bool take_alpha(pln_chain *c, float alpha)
{
    if (alpha == 1)
        return true;
    if (c->base[4] || c->n_post == PLN_CHAIN_MAX)
        return false;
    memmove(c->post + 1, c->post, (size_t)c->n_post * sizeof c->post[0]);
    c->post[0] = (pln_post){ "linear", alpha, 0, NULL };
    c->n_post++;
    return true;
}

static pln_status emit(pln_match *m, pln_patch *p, const pln_chain *from, int64_t block)
{
    pln_chain c;
    pln_node *n;
    pln_chain_start(&c, m->root, "DequantMatMul", -1, 5, 4);
    c.base[0] = from->base[0];
    c.base[1] = pln_match_val(m, "w");
    c.base[2] = pln_match_val(m, "s");
    c.base[3] = pln_match_val(m, "z");
    c.base[4] = from->base[2];
    memcpy(c.post, from->post, sizeof c.post);
    c.n_post = from->n_post;
    if (!take_alpha(&c, from->alpha))
        return pln_match_refuse(m, "it scales its product");
    pln_chain_follow(&c);
    PLN_TRY(pln_chain_emit(p, &c, &n));
    if (block)
        PLN_TRY(pln_node_set_int(n, "block_size", block));
    return from->trans_b ? pln_node_set_int(n, "transB", 1) : PLN_OK;
}

static pln_status lower(pln_match *m, pln_patch *p)
{
    pln_chain c;
    const pln_node *d = pln_match_node(m, "d");
    const int64_t block =
        pln_match_val(m, "s") ? pln_node_get_int(d, "block_size", 0) : 0;
    if (!pln_chain_begin(&c, m->root, "FusedMatMul", -1))
        return pln_match_refuse(m, "not a product of floats");
    if (c.trans_a || pln_node_get_float(m->root, "beta", 1) != 1)
        return pln_match_refuse(m, "it scales or transposes its input");
    PLN_TRY(check_weights(m, pln_match_val(m, "w")));
    if (pln_match_val(m, "s"))
        PLN_TRY(check_scales(m, d, c.trans_b, block > 0));
    return emit(m, p, &c, block);
}

static pln_status lower_cast(pln_match *m, pln_patch *p)
{
    const pln_dtype dt = pln_match_val(m, "w")->type.dtype;
    if (dt != PLN_DT_F16 && dt != PLN_DT_BF16)
        return pln_match_refuse(m, "its weights are no floats of 16 bits");
    return lower(m, p);
}

#define PRODUCTS "MatMul|Gemm|planish.FusedMatMul|planish.FusedGemm"

static const pln_rule rules[] = {
    { .name = "dequantized-weights",
      .match = PRODUCTS "(a, d=DequantizeLinear(w#, s#, z?#), ...)",
      .build = lower,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_PLANISH },
    { .name = "short-weights",
      .match = PRODUCTS "(a, d=Cast<to=1>(w#), ...)",
      .build = lower_cast,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_PLANISH },
};

const pln_pass pln_pass_lower_narrow = {
    .name = "lower-narrow",
    .brief = "products whose weights stay as small as they are stored",
    PLN_RULES(rules),
};
