/* fuse-attention: softmax(scale Q K^T + mask) V in every spelling becomes Attention, and
 * what stands around that goes into it.
 *
 * A row whose keys are all hidden by -inf gives NaN when spelled out and zeros in
 * Attention;
 * where a row of finite scores is hidden by a finite number, the standard has no form.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/fuse_attention.h"

#define OPSET_OF_ATTENTION 23

/* ---- the product with the values ------------------------------------------------- */

static bool is_product_of(const pln_value *v, const char *a, const char *b, const char *c)
{
    return v->def &&
           (pln_node_is(v->def, a) || pln_node_is(v->def, b) || pln_node_is(v->def, c));
}

pln_status pln_attention_check_product(pln_match *m)
{
    if (!is_product_of(m->root->in[0], "Softmax", "Where", "Cast"))
        return pln_match_refuse(m, "no softmax over the keys");
    return PLN_OK;
}

static bool is_float(pln_dtype dt)
{
    return dt == PLN_DT_F32 || dt == PLN_DT_F16 || dt == PLN_DT_BF16;
}

pln_status pln_scores_check(pln_match *m, pln_scores *s, pln_extent *e)
{
    const int rank = pln_value_rank(s->q);
    const pln_shape q = s->q->type.shape, k = s->kt->type.shape, v = s->v->type.shape;
    if (rank != 3 && rank != 4)
        return pln_match_refuse(m, "queries, keys and values not of rank 3 or 4");
    for (int i = 0; i < rank - 2; i++)
        if (!pln_dim_equal(q.dims[i], k.dims[i]) || !pln_dim_equal(q.dims[i], v.dims[i]))
            return pln_match_refuse(m, "dimension %d of '%s', '%s' and '%s' may differ",
                                    i, s->q->name, s->kt->name, s->v->name);
    e->rank = rank;
    for (int i = 0; i < rank - 1; i++)
        e->d[i] = q.dims[i];
    e->d[rank - 1] = k.dims[rank - 1];
    if (s->guarded)
        return pln_match_refuse(m, "NaN becomes 0 behind the softmax");
    pln_scores_find_order(m->ctx, s, e);
    return pln_scores_check_masks(m, s, e);
}

bool pln_scores_are_read(const pln_scores *s)
{
    const pln_value *p = s->probabilities;
    return !pln_value_is_single_use(p) ||
           (!s->guarded && !pln_value_is_single_use(s->softmax->out[0])) ||
           (s->guarded && s->softmax->out[0]->n_uses > 2) ||
           !pln_value_is_single_use(s->softmax->in[0]);
}

static bool set_attributes(pln_node *n, const pln_scores *s, bool one_head)
{
    return pln_node_set_float(n, "scale", (float)s->scale) == PLN_OK &&
           (!s->cap || pln_node_set_float(n, "softcap", (float)s->cap) == PLN_OK) &&
           (s->soft == PLN_DT_NONE ||
            pln_node_set_int(n, "softmax_precision", s->soft) == PLN_OK) &&
           (!s->causal || pln_node_set_int(n, "is_causal", 1) == PLN_OK) &&
           (!one_head || (pln_node_set_int(n, "q_num_heads", 1) == PLN_OK &&
                          pln_node_set_int(n, "kv_num_heads", 1) == PLN_OK));
}

/* Of rank 3, with one head: [batch, 1, queries, keys]. */
static pln_value *with_head(pln_patch *p, pln_value *v, const pln_scores *s,
                            const pln_extent *e)
{
    bool needed = false;
    for (int i = 0; i < s->n_masks; i++) {
        const pln_value *m = s->mask[i].v;
        needed |= pln_value_rank(m) == 3 && !pln_dim_is(m->type.shape.dims[0], 1);
    }
    if (!v || e->rank == 4 || !needed)
        return v;
    return pln_patch_op2(p, "Unsqueeze", v,
                         pln_patch_ints(p, (int64_t[]){ 1 }, 1, "axes"));
}

/* To-ms-attention finds in plain nodes what it has a form for, unless the heads are in
 * the batch. */
static bool is_for_ms(const pln_match *m, const pln_scores *s, pln_value *const *in)
{
    const pln_pass_ctx *ctx = m->ctx;
    pln_joined j[3];
    if (ctx->options->session || ctx->options->target != PLN_TARGET_ORT)
        return false;
    if (!pln_pass_allows_opset(ctx, OPSET_OF_ATTENTION))
        return !pln_attention_is_in_batch(in, m->root);
    for (int i = 0; i < 3; i++)
        if (!pln_joined_of(in[i], &j[i]) || j[i].heads != j[0].heads)
            return false;
    return s->q->type.dtype == PLN_DT_F32 && !s->cap && s->soft == PLN_DT_NONE &&
           pln_join_of(m->root->out[0]) != NULL;
}

static pln_status build_standard(pln_match *m, pln_patch *p, pln_scores *s,
                                 const pln_extent *e)
{
    pln_value *in[4] = { s->q, pln_scores_keys(p, s), s->v, NULL };
    if (s->n_masks)
        in[3] = with_head(p, pln_scores_mask(p, s, e), s, e);
    if (!(s->scale > 0)) /* both sides are multiplied by its root */
        return pln_match_refuse(m, "its scale is %g", s->scale);
    if (is_for_ms(m, s, in))
        return pln_match_refuse(m, "left to the passes that write com.microsoft");
    pln_node *n = pln_patch_add(p, "Attention", in, 4, 1);
    if (!n || !in[1] || (s->n_masks && !in[3]) || !set_attributes(n, s, e->rank == 3))
        return p->failed != PLN_OK ? p->failed : PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

pln_status pln_attention_build(pln_match *m, pln_patch *p)
{
    pln_scores s;
    pln_extent e = { .rank = 0 };
    const char *why;
    if (!pln_scores_of(m->root, &s, &why))
        return pln_match_refuse(m, "%s", why);
    if (pln_scores_are_read(&s))
        return pln_match_refuse(m, "scores or probabilities have other uses");
    const int rank = pln_value_rank(s.q);
    if (!is_float(s.q->type.dtype) || rank < 2 || pln_value_rank(s.kt) != rank ||
        pln_value_rank(s.v) != rank)
        return pln_match_refuse(m, "queries, keys and values are not float or not of one "
                                   "rank");
    for (int i = 0; i < rank; i++)
        if (pln_dim_is(s.q->type.shape.dims[i], 0) ||
            pln_dim_is(s.kt->type.shape.dims[i], 0) ||
            pln_dim_is(s.v->type.shape.dims[i], 0))
            return pln_match_refuse(m, "no queries, or no keys");
    pln_scores standard = s;
    const pln_status st = pln_scores_check(m, &standard, &e);
    if (st == PLN_OK)
        return build_standard(m, p, &standard, &e);
    return pln_attention_may_be_own(p) ? pln_attention_build_own(m, p, &s) : st;
}

/* ---- the pass -------------------------------------------------------------------- */

#define RULE(id, pattern, check_it, make)                               \
    {                                                                   \
        .name = id, .match = pattern, .check = check_it, .build = make, \
        .contract = PLN_REASSOC, .opset = OPSET_OF_ATTENTION, .stated = true            \
    }

static const pln_rule rules[] = {
    RULE("attention", "MatMul(p, v)", pln_attention_check_product, pln_attention_build),
    RULE("attention-repeat", "Attention|planish.FusedAttention(q, k, v, ...)", NULL,
         pln_attention_repeat_build),
    RULE("attention-cache", "Attention(q, k, v, ...)", NULL, pln_attention_cache_build),
    RULE("attention-sequence", "Attention(q, k, v, ...)", NULL, pln_attention_sequence_build),
    RULE("attention-heads", "Attention(q, k, v, ...)", NULL, pln_attention_heads_build),
    RULE("attention-layout", "Attention|planish.FusedAttention(q, k, v, ...)", NULL,
         pln_attention_layout_build),
    RULE("attention-packed", "Attention|planish.FusedAttention(q, k, v, ...)", NULL,
         pln_attention_packed_build),
};

const pln_pass pln_pass_fuse_attention = {
    .name = "fuse-attention",
    .brief = "turns spelled-out attention into one node",
    PLN_RULES(rules),
};
