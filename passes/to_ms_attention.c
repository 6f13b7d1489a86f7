/* to-ms-attention: attention whose heads are split before and joined behind it becomes
 * Attention of com.microsoft, which makes queries, keys and values by one product,
 * MultiHeadAttention, or GroupQueryAttention.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/to_ms_attention.h"

#include <math.h>

/* ---- what is there --------------------------------------------------------------- */

static bool set_sizes(pln_ms_attention *a)
{
    const pln_shape q = a->s.q->type.shape, v = a->s.v->type.shape;
    if (!pln_dim_is_known(q.dims[1]) || !pln_dim_is_known(q.dims[3]) ||
        !pln_dim_is_known(v.dims[3]))
        return false;
    a->heads = q.dims[1].value;
    a->dim = q.dims[3].value;
    a->v_dim = v.dims[3].value;
    return a->heads > 0 && a->dim > 0 && a->v_dim > 0;
}

/* The keys or values that are new, where both are appended to a cache. */
static void find_cache(pln_ms_attention *a)
{
    pln_node *k = a->keys ? pln_cache_of(a->keys) : NULL, *v = pln_cache_of(a->s.v);
    if (!k || !v || k == v || a->s.causal || pln_value_rank(k->in[1]) != 4 ||
        pln_value_rank(v->in[1]) != 4 || !pln_caches_fit(k, v))
        return;
    a->cache[0] = k;
    a->cache[1] = v;
}

static void find_parts(pln_ms_attention *a, pln_value *base, const int64_t *perm)
{
    find_cache(a);
    pln_value *k = a->cache[0] ? a->cache[0]->in[1] : base;
    pln_value *v = a->cache[0] ? a->cache[1]->in[1] : a->s.v;
    a->joined[0] = pln_joined_of(a->s.q, &a->part[0]);
    a->joined[1] = a->keys ? pln_joined_of(k, &a->part[1])
                           : pln_joined_under(k, perm, &a->part[1]);
    a->joined[2] = pln_joined_of(v, &a->part[2]);
    for (int i = 0; i < 3; i++)
        a->joined[i] &= a->part[i].heads == a->heads;
}

void pln_ms_find_fill(pln_ms_attention *a)
{
    pln_mask *k = &a->s.mask[0];
    if (a->s.n_masks != 1 || a->key.flags || k->kind == PLN_MASK_ADD ||
        !isfinite(k->fill) || !pln_ms_fill_is_low(k->fill))
        return;
    a->fill = k->fill;
    k->fill = -INFINITY;
}

pln_status pln_ms_read_scores(pln_match *m, pln_ms_attention *a)
{
    const char *why;
    if (!pln_scores_of(m->root, &a->s, &why))
        return pln_match_refuse(m, "%s", why);
    if (pln_scores_are_read(&a->s))
        return pln_match_refuse(m, "scores or probabilities have other uses");
    if (a->s.q->type.dtype != PLN_DT_F32 || pln_value_rank(a->s.q) != 4 ||
        pln_value_rank(a->s.kt) != 4 || pln_value_rank(a->s.v) != 4)
        return pln_match_refuse(m, "queries, keys and values are not floats of rank 4");
    if (a->s.cap || a->s.soft != PLN_DT_NONE)
        return pln_match_refuse(m, "scores are capped, or of another type");
    return PLN_OK;
}

static pln_status read(pln_match *m, pln_patch *p, pln_ms_attention *a)
{
    int64_t perm[PLN_MAX_RANK];
    PLN_TRY(pln_ms_read_scores(m, a));
    a->s.guarded &= !pln_scores_guard_is_idle(&a->s);
    pln_ms_find_key_mask(a);
    pln_ms_find_fill(a);
    PLN_TRY(pln_scores_check(m, &a->s, &a->e));
    if (a->key.flags && a->s.causal)
        return pln_match_refuse(m, "keys are hidden in causal order, too");
    if (!set_sizes(a))
        return pln_match_refuse(m, "the sizes of the heads are not known");
    pln_value *base = pln_scores_keys_base(&a->s, perm);
    if (a->s.scale == 0)
        return pln_match_refuse(m, "a scale of 0 stands for the usual one");
    if (pln_perm_is_identity(perm, 4))
        a->keys = base;
    find_parts(a, base, perm);
    if (!a->keys && !(a->joined[1] && a->part[1].parts == 1))
        a->keys = pln_patch_transpose(p, base, perm, 4);
    return PLN_OK;
}

/* ---- what takes its place -------------------------------------------------------- */

pln_value *pln_ms_added_mask(pln_patch *p, const pln_ms_attention *a)
{
    static const int64_t front[3] = { 0, 1, 2 };
    int rank = 0;
    for (int i = 0; i < a->s.n_masks; i++) {
        const int r = pln_value_rank(a->s.mask[i].v);
        rank = r > rank ? r : rank;
    }
    pln_value *v = pln_scores_mask(p, &a->s, &a->e);
    bool added = false;
    for (int i = 0; i < a->s.n_masks; i++)
        added |= a->s.mask[i].kind == PLN_MASK_ADD;
    if (v && !added) {
        pln_value *zero = pln_patch_scalar(p, PLN_DT_F32, 0, "kept");
        pln_value *hidden =
            pln_patch_scalar(p, PLN_DT_F32, a->fill != 0 ? a->fill : -INFINITY, "hidden");
        pln_node *n = pln_patch_add(p, "Where", (pln_value *[]){ v, zero, hidden }, 3, 1);
        v = n ? n->out[0] : NULL;
    }
    if (rank < 2 && pln_dim_is(a->e.d[2], 1) == false)
        rank = 2; /* it was given rows */
    return v && rank < 4
               ? pln_patch_op2(p, "Unsqueeze", v,
                               pln_patch_ints(p, front, (size_t)(4 - rank), "axes"))
               : v;
}

/* [batch, heads, len, dim] as [batch, len, heads x dim] */
static pln_value *join(pln_patch *p, pln_value *v, int64_t heads, int64_t dim)
{
    static const int64_t swap[4] = { 0, 2, 1, 3 };
    const int64_t to[3] = { 0, 0, heads * dim };
    pln_value *t = pln_patch_transpose(p, v, swap, 4);
    pln_value *shape = pln_patch_ints(p, to, 3, "joined");
    return t && shape ? pln_patch_op2(p, "Reshape", t, shape) : NULL;
}

static pln_node *multi_head(pln_patch *p, const pln_ms_attention *a)
{
    pln_value *in[8] = { a->s.q, a->keys, a->s.v, NULL, a->hidden, a->mask };
    const bool unpacks = a->joined[0] && a->joined[1] && a->joined[2] &&
                         a->part[0].parts > 1 && pln_joined_together(a->part);
    bool flat[3] = { unpacks, unpacks, unpacks };
    for (int i = 1; i < 3 && a->cache[0]; i++) {
        in[i] = a->cache[i - 1]->in[1];
        in[5 + i] = a->cache[i - 1]->in[0];
    }
    if (unpacks)
        pln_joined_unpack(p, a->part, in);
    for (int i = 0; i < 3 && !unpacks; i++)
        if (a->joined[i] && a->part[i].parts == 1) {
            in[i] = pln_joined_value(p, &a->part[i]);
            flat[i] = true;
        }
    if (!flat[0])
        in[0] = join(p, in[0], a->heads, a->dim);
    /* keys and values of the same rank, which is 3 where they are not of the same size */
    const bool joins = flat[1] || flat[2] || a->dim != a->v_dim;
    if (joins && !flat[2])
        in[2] = join(p, in[2], a->heads, a->v_dim);
    if (joins && !flat[1])
        in[1] = join(p, in[1], a->heads, a->dim);
    in[3] = pln_ms_attention_bias(p, a, in);
    return pln_patch_add_in(p, PLN_MS, "MultiHeadAttention", in, 8, a->cache[0] ? 3 : 1);
}

static bool set_attributes(pln_node *n, const pln_ms_attention *a)
{
    return pln_node_set_int(n, "num_heads", a->heads) == PLN_OK &&
           pln_node_set_float(n, "scale", (float)a->s.scale) == PLN_OK &&
           (!a->key.flags ||
            pln_node_set_float(n, "mask_filter_value", (float)a->key.filter) == PLN_OK) &&
           (!a->s.causal || pln_node_set_int(n, "unidirectional", 1) == PLN_OK);
}

static pln_status build(pln_match *m, pln_patch *p)
{
    pln_ms_attention a = { .heads = 0 };
    PLN_TRY(read(m, p, &a));
    pln_node *behind = pln_join_of(m->root->out[0]);
    if (!behind)
        return pln_match_refuse(m, "the heads are not joined behind it");
    p->before = behind;
    if (a.s.n_masks && !(a.mask = pln_ms_added_mask(p, &a)))
        return p->failed != PLN_OK ? p->failed : PLN_E_NOMEM;
    if (a.key.flags && !(a.hidden = pln_ms_key_flags(p, &a.key)))
        return p->failed != PLN_OK ? p->failed : PLN_E_NOMEM;
    pln_node *n = pln_ms_attention_packed(p, &a);
    n = n ? n : multi_head(p, &a);
    if (!n || !set_attributes(n, &a) || !pln_join_replace(p, behind, n))
        return p->failed != PLN_OK ? p->failed : PLN_E_NOMEM;
    for (uint32_t i = 0; i < 2 && a.cache[0]; i++)
        pln_patch_replace(p, a.cache[i]->out[0], n->out[i + 1]);
    return PLN_OK;
}

/* ---- of an Attention ------------------------------------------------------------- */

/* Added to the scores of one that fuse-attention stated; its form fits [.., queries,
 * keys]. */
static pln_status take_mask(pln_match *m, pln_ms_attention *a)
{
    const pln_node *n = m->root;
    pln_value *v = n->n_in > 3 ? n->in[3] : NULL;
    const pln_shape q = n->in[0]->type.shape, k = n->in[1]->type.shape;
    if (!v)
        return PLN_OK;
    if (!*n->domain)
        return pln_match_refuse(m, "a query that sees no key gives zeros");
    a->e = (pln_extent){ { q.dims[0], pln_dim_of(a->heads), q.dims[1], k.dims[1] }, 4 };
    a->s.q = n->in[0];
    a->s.mask[a->s.n_masks++] = (pln_mask){
        v, v->type.dtype == PLN_DT_BOOL ? PLN_MASK_KEEP : PLN_MASK_ADD, -INFINITY
    };
    return pln_scores_check_masks(m, &a->s, &a->e);
}

static pln_status read_node(pln_match *m, pln_ms_attention *a)
{
    const pln_node *n = m->root;
    a->heads = pln_node_get_int(n, "q_num_heads", 0);
    if (n->n_in > 4 || n->n_out != 1 || a->heads < 1 || pln_value_rank(n->in[0]) != 3 ||
        pln_node_get_int(n, "kv_num_heads", 0) != a->heads ||
        n->in[0]->type.dtype != PLN_DT_F32 || pln_node_get_float(n, "softcap", 0) != 0 ||
        pln_node_get_int(n, "softmax_precision", PLN_DT_F32) != PLN_DT_F32 ||
        pln_node_get_int(n, "left_window_size", -1) >= 0 ||
        pln_node_get_int(n, "right_window_size", -1) >= 0)
        return pln_match_refuse(m, "more than com.microsoft has a form for");
    for (int i = 0; i < 3; i++) {
        const int rank = pln_value_rank(n->in[i]);
        const pln_dim all = rank == 3 ? n->in[i]->type.shape.dims[2] : pln_dim_unknown();
        if (!pln_dim_is_known(all) || all.value < 1 || all.value % a->heads)
            return pln_match_refuse(m, "the size of '%s' is not known", n->in[i]->name);
        a->part[i] = (pln_joined){ .x = n->in[i],
                                   .heads = a->heads,
                                   .dim = all.value / a->heads,
                                   .parts = 1 };
        a->joined[i] = true;
    }
    a->dim = a->part[0].dim;
    a->v_dim = a->part[2].dim;
    a->s.scale = pln_node_get_float(n, "scale", (float)(1 / sqrt((double)a->dim)));
    a->s.causal = pln_node_get_int(n, "is_causal", 0) != 0;
    const pln_dim q = n->in[0]->type.shape.dims[1], k = n->in[1]->type.shape.dims[1];
    if (a->s.causal && !pln_dim_equal(q, k))
        return pln_match_refuse(m, "causal order of other keys");
    return take_mask(m, a);
}

static pln_status build_of_node(pln_match *m, pln_patch *p)
{
    pln_ms_attention a = { .heads = 0 };
    PLN_TRY(read_node(m, &a));
    if (a.s.n_masks && !(a.mask = pln_ms_added_mask(p, &a)))
        return p->failed != PLN_OK ? p->failed : PLN_E_NOMEM;
    pln_node *n = pln_ms_attention_packed(p, &a);
    if (!n && !*m->root->domain)
        return pln_match_refuse(m, "no product goes into it");
    n = n ? n : multi_head(p, &a);
    if (!n || !set_attributes(n, &a))
        return p->failed != PLN_OK ? p->failed : PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .name = "ms-group-query",
      .match = "MatMul(p, v)",
      .check = pln_attention_check_product,
      .build = pln_ms_group_query,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_ORT,
      .may_fail = true /* where there are no keys at all */ },
    { .name = "ms-attention",
      .match = "MatMul(p, v)",
      .check = pln_attention_check_product,
      .build = build,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_ORT },
    { .name = "ms-attention",
      .match = "Attention(q, k, v, ...)",
      .build = build_of_node,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_ORT },
};

const pln_pass pln_pass_to_ms_attention = {
    .name = "to-ms-attention",
    .brief = "Attention, MultiHeadAttention and GroupQueryAttention of com.microsoft",
    PLN_RULES(rules),
};
