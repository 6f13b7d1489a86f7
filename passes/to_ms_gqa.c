/* to-ms-attention, fewer heads of keys and values: where they are repeated for the heads
 * of queries, GroupQueryAttention of com.microsoft does without.
 *
 * Its lengths are those of all keys. ONNX Runtime takes heads of 8, 16, .. numbers, with
 * rotations of 16, 32, ..; and behind a cache one batch or one query at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/cut.h"
#include "passes/to_ms_attention.h"

#define OPSET_OF_PARTS 15 /* Shape gives some of the sizes */

typedef struct groups {
    pln_ms_attention a;
    int64_t kv_heads;
    pln_value *k, *v; /* [batch, kv_heads, keys, dim], not repeated */
    pln_node *rotary[2]; /* of queries and of keys, which the operator does too; NULL */
} groups;

/* ---- what is there --------------------------------------------------------------- */

static pln_status read_sizes(pln_match *m, pln_ms_attention *a)
{
    PLN_TRY(pln_ms_read_scores(m, a));
    pln_ms_find_fill(a);
    PLN_TRY(pln_scores_check(m, &a->s, &a->e));
    a->heads = pln_value_size_at(a->s.q, 1);
    a->dim = pln_value_size_at(a->s.q, 3);
    a->v_dim = pln_value_size_at(a->s.v, 3);
    return a->heads > 0 && a->dim > 0 && a->dim == a->v_dim && a->dim % 8 == 0
               ? PLN_OK
               : pln_match_refuse(
                     m, "heads of sizes that are unknown, or no multiples of 8");
}

static bool splits_heads(pln_value *v, pln_joined *j, int64_t heads)
{
    return pln_joined_of(v, j) && j->parts == 1 && !j->len_first && j->heads == heads;
}

static void find_cache(groups *g)
{
    pln_node *k = pln_cache_of(g->k), *v = pln_cache_of(g->v);
    if (!k || !v || k == v || !pln_caches_fit(k, v))
        return;
    g->a.cache[0] = k;
    g->a.cache[1] = v;
}

static pln_status read(pln_match *m, pln_patch *p, groups *g)
{
    int64_t perm[PLN_MAX_RANK], v_heads;
    pln_ms_attention *a = &g->a;
    PLN_TRY(read_sizes(m, a));
    pln_value *keys = pln_scores_keys_base(&a->s, perm);
    if (!pln_perm_is_identity(perm, 4) ||
        !(g->k = pln_unrepeated(p, keys, &g->kv_heads)) ||
        !(g->v = pln_unrepeated(p, a->s.v, &v_heads)) || v_heads != g->kv_heads)
        return pln_match_refuse(m, "keys and values are not repeated");
    find_cache(g);
    const pln_dim *d = a->e.d;
    if (a->cache[0] && !pln_dim_is(d[0], 1) && !pln_dim_is(d[2], 1))
        return pln_match_refuse(m, "a cache, for more than one batch and one query");
    pln_value *k = a->cache[0] ? a->cache[0]->in[1] : g->k;
    pln_value *v = a->cache[0] ? a->cache[1]->in[1] : g->v;
    if (!splits_heads(a->s.q, &a->part[0], a->heads) ||
        !splits_heads(k, &a->part[1], g->kv_heads) ||
        !splits_heads(v, &a->part[2], g->kv_heads))
        return pln_match_refuse(m, "heads are not split off queries, keys and values");
    const pln_dim *q3 = a->part[0].x->type.shape.dims,
                  *k3 = a->part[1].x->type.shape.dims;
    if (!pln_dim_equal(q3[1], k3[1]))
        return pln_match_refuse(m, "as many new keys as queries are not certain");
    return PLN_OK;
}

static bool turns(const pln_value *v, int64_t heads)
{
    const pln_node *n = v->def;
    return n && pln_node_is_in(n, PLN_MS, "RotaryEmbedding") &&
           pln_value_is_single_use(v) && pln_node_get_int(n, "num_heads", 0) == heads;
}

/* Both turn by the same angles, by position from the first on: ONNX Runtime takes no
 * others
 * where no cache is, and behind a cache it wants more rows of angles than may be
 * there. */
static void find_rotary(groups *g)
{
    pln_ms_attention *a = &g->a;
    const pln_value *q = a->part[0].x, *k = a->part[1].x;
    if (a->cache[0] || a->dim % 16 || !turns(q, a->heads) || !turns(k, g->kv_heads) ||
        pln_node_get_int(q->def, "interleaved", 0) !=
            pln_node_get_int(k->def, "interleaved", 0))
        return;
    for (int i = 1; i < 4; i++)
        if (q->def->in[i] != k->def->in[i])
            return;
    int64_t first;
    size_t n;
    const pln_value *at = q->def->in[1];
    if (pln_value_rank(at) != 1 || !pln_value_get_ints(at, &first, 1, &n) || n != 1 ||
        first != 0)
        return;
    g->rotary[0] = q->def;
    g->rotary[1] = k->def;
}

/* ---- lengths --------------------------------------------------------------------- */

/* [d], from a constant, or an input of the graph, which all layers share, or v. */
static pln_value *length(pln_patch *p, pln_dim d, pln_value *v, int axis)
{
    if (pln_dim_is_known(d))
        return pln_patch_ints(p, &d.value, 1, "length");
    for (uint32_t i = 0; i < p->graph->n_inputs; i++) {
        pln_value *in = p->graph->inputs[i];
        for (int k = 0; k < pln_value_rank(in); k++)
            if (in->type.kind == PLN_KIND_TENSOR &&
                pln_dim_equal(in->type.shape.dims[k], d)) {
                v = in;
                axis = k;
                k = PLN_MAX_RANK;
                i = p->graph->n_inputs - 1;
            }
    }
    pln_node *n = v ? pln_patch_add(p, "Shape", &v, 1, 1) : NULL;
    return n && pln_node_set_int(n, "start", axis) == PLN_OK &&
                   pln_node_set_int(n, "end", axis + 1) == PLN_OK
               ? n->out[0]
               : NULL;
}

/* The number of all keys, int64[1]. */
static pln_value *n_keys(pln_patch *p, const groups *g)
{
    const pln_dim *all = &g->a.e.d[3];
    pln_value *now = g->a.part[0].x;
    if (!g->a.cache[0] || pln_dim_is_known(*all))
        return length(p, *all, now, 1);
    pln_value *past = g->a.cache[0]->in[0];
    pln_value *before = length(p, past->type.shape.dims[2], past, 2);
    pln_value *more = length(p, now->type.shape.dims[1], now, 1);
    return before && more ? pln_patch_op2(p, "Add", before, more) : NULL;
}

static pln_value *narrow(pln_patch *p, pln_value *v)
{
    pln_node *n = v ? pln_patch_add(p, "Cast", &v, 1, 1) : NULL;
    return n && pln_node_set_int(n, "to", PLN_DT_S32) == PLN_OK ? n->out[0] : NULL;
}

/* All keys of each batch, less one: int32[batch]; and their number. */
static bool set_lengths(pln_patch *p, const groups *g, pln_value **in)
{
    pln_value *all = narrow(p, n_keys(p, g)),
              *one = pln_patch_scalar(p, PLN_DT_S32, 1, "one");
    pln_value *last = all && one ? pln_patch_op2(p, "Sub", all, one) : NULL;
    const pln_dim batch = g->a.e.d[0];
    pln_value *x = g->a.part[0].x;
    if (last && !pln_dim_is(batch, 1))
        last = pln_patch_op2(p, "Expand", last, length(p, batch, x, 0));
    in[5] = last;
    in[6] = all;
    return last && all;
}

/* ---- the operator ---------------------------------------------------------------- */

static bool set_attributes(pln_node *n, const groups *g)
{
    return pln_node_set_int(n, "num_heads", g->a.heads) == PLN_OK &&
           pln_node_set_int(n, "kv_num_heads", g->kv_heads) == PLN_OK &&
           pln_node_set_float(n, "scale", (float)g->a.s.scale) == PLN_OK &&
           (g->a.s.causal || pln_dim_is(g->a.e.d[2], 1) ||
            pln_node_set_int(n, "causal", 0) == PLN_OK) &&
           (!g->rotary[0] || pln_node_set_int(n, "do_rotary", 1) == PLN_OK) &&
           (!g->rotary[0] || !pln_node_get_int(g->rotary[0], "interleaved", 0) ||
            pln_node_set_int(n, "rotary_interleaved", 1) == PLN_OK);
}

pln_status pln_ms_group_query(pln_match *m, pln_patch *p)
{
    groups g = { .kv_heads = 0 };
    pln_ms_attention *a = &g.a;
    PLN_TRY(read(m, p, &g));
    pln_node *behind = pln_join_of(m->root->out[0]);
    if (!behind)
        return pln_match_refuse(m, "the heads are not joined behind it");
    if (!pln_pass_allows_opset(m->ctx, OPSET_OF_PARTS))
        return pln_match_refuse(m, "the file's set has no parts of a Shape");
    p->before = behind;
    find_rotary(&g);
    pln_value *in[11] = { a->part[0].x, a->part[1].x, a->part[2].x };
    for (int i = 0; i < 2 && a->cache[0]; i++)
        in[3 + i] = a->cache[i]->in[0];
    for (int i = 0; i < 2 && g.rotary[0]; i++) {
        in[i] = g.rotary[i]->in[0];
        in[7 + i] = g.rotary[0]->in[2 + i];
    }
    if (!set_lengths(p, &g, in) || (a->s.n_masks && !(in[10] = pln_ms_added_mask(p, a))))
        return p->failed != PLN_OK ? p->failed : PLN_E_NOMEM;
    pln_node *n = pln_patch_add_in(p, PLN_MS, "GroupQueryAttention", in, 11, 3);
    if (!n || !set_attributes(n, &g) || !pln_join_replace(p, behind, n))
        return p->failed != PLN_OK ? p->failed : PLN_E_NOMEM;
    for (int i = 0; i < 2 && a->cache[0]; i++)
        pln_patch_replace(p, a->cache[i]->out[0], n->out[1 + i]);
    return PLN_OK;
}
