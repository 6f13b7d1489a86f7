/* What stands around an Attention of rank 4 goes into it: heads that were split and
 * joined, keys and values that were repeated, and caches.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/fuse_attention.h"

#include <string.h>

#define MOST_HEADS 1024
#define MOST_PARTS 4

static const int64_t swap[4] = { 0, 2, 1, 3 };
/* Between [len, batch, ..] and [batch, .., len, ..]. */
static const int64_t from_len[4] = { 1, 2, 0, 3 }, to_len[4] = { 2, 0, 1, 3 },
                     other_first[3] = { 1, 0, 2 };

/* ---- heads ----------------------------------------------------------------------- */

static bool has_perm(const pln_node *n, const int64_t *want, int rank)
{
    int64_t perm[PLN_MAX_RANK];
    int r;
    return n && pln_node_is(n, "Transpose") && pln_perm_of(n, perm, &r) && r == rank &&
           !memcmp(perm, want, (size_t)rank * sizeof *perm);
}

static bool is_copied(const pln_node *reshape, int i)
{
    int64_t to[PLN_MAX_RANK];
    size_t n;
    return !pln_node_get_int(reshape, "allowzero", 0) &&
           pln_value_get_ints(reshape->in[1], to, PLN_MAX_RANK, &n) && (size_t)i < n &&
           to[i] == 0;
}

/* The first two dimensions stay, given that the others come to the same. */
static bool keeps_first_two(const pln_node *reshape)
{
    const pln_shape a = reshape->in[0]->type.shape, b = reshape->out[0]->type.shape;
    for (int i = 0; i < 2; i++)
        if (is_copied(reshape, i) ||
            (pln_dim_equal(a.dims[i], b.dims[i]) && !pln_dim_is(a.dims[i], 0)))
            return true;
    return false;
}

static int64_t known(const pln_value *v, int i)
{
    const pln_dim d = v->type.shape.dims[i];
    return pln_dim_is_known(d) ? d.value : -1;
}

/* Splits the last dimension alone, of rank 3, to `rank`. */
static bool splits_last(const pln_node *n, int rank)
{
    if (!n || !pln_node_is(n, "Reshape") || pln_value_rank(n->in[0]) != 3 ||
        pln_value_rank(n->out[0]) != rank || !keeps_first_two(n))
        return false;
    int64_t count = 1;
    for (int i = 2; i < rank; i++) {
        if (known(n->out[0], i) < 1)
            return false;
        count *= known(n->out[0], i);
    }
    return known(n->in[0], 2) == count;
}

/* Picks element *at of `axis`, which goes. */
static pln_value *picked_from(const pln_value *v, int64_t axis, int64_t *at)
{
    size_t n;
    const pln_node *g = v->def;
    return g && pln_node_is(g, "Gather") && pln_node_get_int(g, "axis", 0) == axis &&
                   pln_value_rank(g->in[1]) == 0 &&
                   pln_value_get_ints(g->in[1], at, 1, &n) && n == 1
               ? g->in[0]
               : NULL;
}

/* The Reshape to [batch, len, heads, dim]. */
static bool joined_by(const pln_node *r, pln_joined *j)
{
    *j = (pln_joined){ .parts = 1 };
    if (!splits_last(r, 4))
        return false;
    j->x = r->in[0];
    j->heads = known(r->out[0], 2);
    j->dim = known(r->out[0], 3);
    return true;
}

/* Part `part` of what the Reshape makes [batch, len, parts, heads, dim]. */
static bool packed_by(const pln_node *r, int64_t part, pln_joined *j)
{
    if (!splits_last(r, 5))
        return false;
    *j = (pln_joined){ .x = r->in[0],
                       .heads = known(r->out[0], 3),
                       .dim = known(r->out[0], 4),
                       .parts = known(r->out[0], 2) };
    j->part = part < 0 ? part + j->parts : part;
    return j->part >= 0 && j->part < j->parts;
}

bool pln_joined_under(pln_value *v, const int64_t *perm, pln_joined *j)
{
    int64_t part;
    const bool len_first = !memcmp(perm, from_len, sizeof from_len);
    if (!len_first && memcmp(perm, swap, sizeof swap))
        return false;
    if (joined_by(v->def, j)) {
        j->len_first = len_first;
        return true;
    }
    const pln_value *t = len_first ? NULL : picked_from(v, 2, &part);
    return t && packed_by(t->def, part, j);
}

/* v, [batch x heads, len, dim], of x, [len, batch, heads x dim]. */
static bool joined_in_batch(const pln_value *v, pln_joined *j)
{
    const pln_node *r = has_perm(v->def, other_first, 3) ? v->def->in[0]->def : NULL;
    if (!r || !pln_node_is(r, "Reshape") || pln_value_rank(r->in[0]) != 3)
        return false;
    const pln_shape from = r->in[0]->type.shape, to = r->out[0]->type.shape;
    const int64_t all = known(r->in[0], 2), dim = known(r->out[0], 2);
    *j = (pln_joined){ .x = r->in[0], .dim = dim, .parts = 1, .len_first = true };
    if (all < 1 || dim < 1 || all % dim || !pln_dim_equal(from.dims[0], to.dims[0]) ||
        pln_dim_is(from.dims[0], 0))
        return false;
    j->heads = all / dim;
    return true;
}

/* The same, with batch and heads apart again. */
static bool joined_by_batch(const pln_value *v, pln_joined *j)
{
    const pln_node *r = v->def;
    return r && pln_node_is(r, "Reshape") && pln_value_rank(v) == 4 &&
           joined_in_batch(r->in[0], j) && known(v, 1) == j->heads &&
           known(v, 3) == j->dim &&
           pln_dim_equal(v->type.shape.dims[2], r->in[0]->type.shape.dims[1]) &&
           !pln_dim_is(v->type.shape.dims[2], 0);
}

/* Between [batch, 1, heads x dim] and [batch, heads, 1, dim], which needs no
 * Transpose. */
static bool moves_one_row(const pln_node *n, const pln_value *joined,
                          const pln_value *apart)
{
    if (!n || !pln_node_is(n, "Reshape") || pln_value_rank(joined) != 3 ||
        pln_value_rank(apart) != 4)
        return false;
    const pln_shape a = joined->type.shape, b = apart->type.shape;
    return known(joined, 1) == 1 && known(apart, 2) == 1 && known(apart, 1) > 0 &&
           known(apart, 3) > 0 && known(joined, 2) == known(apart, 1) * known(apart, 3) &&
           pln_dim_equal(a.dims[0], b.dims[0]);
}

bool pln_joined_of(pln_value *v, pln_joined *j)
{
    static const int64_t front[5] = { 2, 0, 3, 1, 4 };
    int64_t part, perm[PLN_MAX_RANK];
    int rank;
    const pln_node *n = v->def;
    if (n && pln_node_is(n, "Transpose") && pln_perm_of(n, perm, &rank) && rank == 4)
        return pln_joined_under(n->in[0], perm, j);
    if (joined_by_batch(v, j))
        return true;
    if (n && n->n_in && moves_one_row(n, n->in[0], v)) {
        *j = (pln_joined){
            .x = n->in[0], .heads = known(v, 1), .dim = known(v, 3), .parts = 1
        };
        return true;
    }
    const pln_value *t = picked_from(v, 0, &part);
    return t && has_perm(t->def, front, 5) && packed_by(t->def->in[0]->def, part, j);
}

pln_value *pln_joined_value(pln_patch *p, const pln_joined *j)
{
    return j->len_first ? pln_patch_transpose(p, j->x, other_first, 3) : j->x;
}

bool pln_joined_together(const pln_joined *j)
{
    if (j[0].parts == 1 && j[1].parts == 1 && j[2].parts == 1)
        return j[1].heads == j[2].heads;
    for (int i = 0; i < 3; i++)
        if (j[i].x != j[0].x || j[i].parts != j[0].parts || j[i].heads != j[0].heads ||
            j[i].dim != j[0].dim)
            return false;
    return j[0].parts <= MOST_PARTS;
}

bool pln_joined_unpack(pln_patch *p, const pln_joined *j, pln_value **in)
{
    int64_t sizes[MOST_PARTS];
    if (j[0].parts == 1) {
        bool made = true;
        for (int i = 0; i < 3; i++) {
            in[i] = pln_joined_value(p, &j[i]);
            made &= in[i] != NULL;
        }
        return made;
    }
    for (int64_t i = 0; i < j->parts; i++)
        sizes[i] = j->heads * j->dim;
    pln_value *from[2] = { j->x, pln_patch_ints(p, sizes, (size_t)j->parts, "split") };
    pln_node *n = pln_patch_add(p, "Split", from, 2, (uint32_t)j->parts);
    if (!n || pln_node_set_int(n, "axis", 2) != PLN_OK)
        return false;
    for (int i = 0; i < 3; i++)
        in[i] = n->out[j[i].part];
    return true;
}

/* The only user of v, if it is such a node of the same graph. */
static pln_node *only_user_is(const pln_value *v, const char *op)
{
    pln_node *u = pln_value_only_user(v);
    return u && pln_node_is(u, op) && u->graph == v->graph ? u : NULL;
}

/* The Reshape does nothing but join the last two dimensions. */
static bool joins_last(const pln_node *n)
{
    const pln_shape from = n->in[0]->type.shape;
    if (pln_value_rank(n->in[0]) != 4 || pln_value_rank(n->out[0]) != 3 ||
        !keeps_first_two(n))
        return false;
    return pln_dim_is_known(from.dims[2]) && pln_dim_is_known(from.dims[3]) &&
           known(n->out[0], 2) == from.dims[2].value * from.dims[3].value;
}

/* The shape that it is told means the same for [.., heads x dim]. */
static bool may_keep_shape(const pln_node *reshape)
{
    int64_t to[PLN_MAX_RANK];
    size_t n;
    if (!pln_value_get_ints(reshape->in[1], to, PLN_MAX_RANK, &n))
        return false;
    for (size_t i = 2; i < n; i++)
        if (to[i] == 0)
            return false;
    return true;
}

static bool joins_one_row(const pln_node *n)
{
    return moves_one_row(n, n->out[0], n->in[0]);
}

pln_node *pln_join_of(const pln_value *y)
{
    pln_node *one = only_user_is(y, "Reshape");
    if (one && joins_one_row(one))
        return one;
    pln_node *t = only_user_is(y, "Transpose");
    const bool turns = t && (has_perm(t, swap, 4) || has_perm(t, to_len, 4));
    pln_node *r = turns ? only_user_is(t->out[0], "Reshape") : NULL;
    return r && (joins_last(r) || may_keep_shape(r)) ? r : NULL;
}

bool pln_join_replace(pln_patch *p, pln_node *join, pln_node *n)
{
    pln_value *y = n->out[0];
    if (has_perm(join->in[0]->def, to_len, 4))
        y = pln_patch_transpose(p, y, other_first, 3);
    pln_value *in[2] = { y, join->in[1] };
    const bool joins = joins_last(join) || joins_one_row(join);
    const pln_node *copy = y && !joins ? pln_patch_copy(p, join, in, 2) : NULL;
    if (!y || (!copy && !joins))
        return false;
    pln_patch_replace_proven(p, join->out[0], copy ? copy->out[0] : y);
    return true;
}

pln_status pln_attention_heads_build(pln_match *m, pln_patch *p)
{
    pln_joined j[3];
    pln_node *old = m->root;
    pln_value *in[8] = { NULL };
    if (old->n_in > 7 || pln_value_rank(old->in[0]) != 4)
        return pln_match_refuse(m, "not of rank 4");
    for (int i = 0; i < 3; i++)
        if (!pln_joined_of(old->in[i], &j[i]))
            return pln_match_refuse(m, "'%s' is not split into heads", old->in[i]->name);
    if (!pln_joined_together(j))
        return pln_match_refuse(m, "heads are packed in different ways");
    pln_node *join = pln_join_of(old->out[0]);
    if (!join)
        return pln_match_refuse(m, "the heads are not joined behind it");
    p->before = join;
    for (uint32_t i = 3; i < old->n_in; i++)
        in[i] = old->in[i];
    if (!pln_joined_unpack(p, j, in))
        return PLN_E_NOMEM;
    pln_node *n = pln_patch_copy(p, old, in, old->n_in);
    if (!n || pln_node_set_int(n, "q_num_heads", j[0].heads) != PLN_OK ||
        pln_node_set_int(n, "kv_num_heads", j[1].heads) != PLN_OK ||
        !pln_join_replace(p, join, n))
        return PLN_E_NOMEM;
    for (uint32_t o = 1; o < old->n_out; o++)
        if (old->out[o] && n->out[o])
            pln_patch_replace(p, old->out[o], n->out[o]);
    return PLN_OK;
}

/* ---- heads within the batch ------------------------------------------------------ */

/* The Reshape to [len, batch, heads x dim] behind y. */
static pln_node *join_in_batch(const pln_value *y, int64_t all)
{
    pln_node *t = only_user_is(y, "Transpose");
    pln_node *r = t && has_perm(t, other_first, 3) ? only_user_is(t->out[0], "Reshape") : NULL;
    return r && pln_value_rank(r->out[0]) == 3 && known(r->out[0], 2) == all &&
                   pln_dim_equal(t->out[0]->type.shape.dims[0],
                                 r->out[0]->type.shape.dims[0]) &&
                   !pln_dim_is(r->out[0]->type.shape.dims[0], 0)
               ? r
               : NULL;
}

/* A mask for each pair of batch and head. */
static pln_value *mask_by_head(pln_patch *p, pln_value *v, int64_t heads)
{
    const int64_t to[4] = { -1, heads, 0, 0 };
    if (!v || pln_value_rank(v) < 4 || pln_dim_is(v->type.shape.dims[0], 1))
        return v;
    return pln_patch_op2(p, "Reshape", v, pln_patch_ints(p, to, 4, "heads"));
}

/* Will the heads of what the product `n` ends be found in the batch? */
bool pln_attention_is_in_batch(pln_value *const *qkv, const pln_node *n)
{
    pln_joined j[3];
    for (int i = 0; i < 3; i++)
        if (!joined_in_batch(qkv[i], &j[i]) || j[i].heads != j[0].heads)
            return false;
    return join_in_batch(n->out[0], j[2].heads * j[2].dim) != NULL;
}

pln_status pln_attention_sequence_build(pln_match *m, pln_patch *p)
{
    pln_joined j[3];
    pln_node *old = m->root;
    pln_value *in[4] = { NULL };
    if (old->n_in > 4 || old->n_out != 1 || pln_value_rank(old->in[0]) != 3 ||
        pln_node_get_int(old, "q_num_heads", 0) != 1 ||
        pln_node_get_int(old, "kv_num_heads", 0) != 1)
        return pln_match_refuse(m, "more than one head, or a cache");
    for (int i = 0; i < 3; i++)
        if (!joined_in_batch(old->in[i], &j[i]) || j[i].heads != j[0].heads)
            return pln_match_refuse(m, "'%s' has no heads in its batch",
                                    old->in[i]->name);
    pln_value *mask = old->n_in > 3 ? old->in[3] : NULL;
    if (mask && pln_value_rank(mask) == 3 && !pln_dim_is(mask->type.shape.dims[0], 1))
        return pln_match_refuse(m, "mask '%s' by batch", mask->name);
    pln_node *join = join_in_batch(old->out[0], j[2].heads * j[2].dim);
    if (!join)
        return pln_match_refuse(m, "the heads are not joined behind it");
    p->before = join;
    if (!pln_joined_unpack(p, j, in))
        return PLN_E_NOMEM;
    in[3] = mask_by_head(p, mask, j[0].heads);
    pln_node *n = pln_patch_copy(p, old, in, 4);
    if (!n || pln_node_set_int(n, "q_num_heads", j[0].heads) != PLN_OK ||
        pln_node_set_int(n, "kv_num_heads", j[0].heads) != PLN_OK)
        return PLN_E_NOMEM;
    pln_value *y = pln_patch_transpose(p, n->out[0], other_first, 3);
    if (y)
        pln_patch_replace_proven(p, join->out[0], y);
    return y ? PLN_OK : PLN_E_NOMEM;
}

/* ---- repeated keys and values ---------------------------------------------------- */

static bool is_repeating_index(const pln_value *v, int64_t heads)
{
    int64_t at[MOST_HEADS];
    size_t n;
    if (!pln_value_get_ints(v, at, MOST_HEADS, &n) || n % (size_t)heads)
        return false;
    for (size_t i = 0; i < n; i++)
        if (at[i] != (int64_t)(i / (n / (size_t)heads)))
            return false;
    return true;
}

/* [b, h, 1, t, d] to [b, h, g, t, d] */
static bool repeats_fifth(const pln_node *n)
{
    if (!n || (!pln_node_is(n, "Expand") && !pln_node_is(n, "Tile")) ||
        pln_value_rank(n->out[0]) != 5 || pln_value_rank(n->in[0]) != 5)
        return false;
    const pln_dim *from = n->in[0]->type.shape.dims, *to = n->out[0]->type.shape.dims;
    for (int i = 0; i < 5; i++)
        if (i != 2 && !pln_dim_equal(from[i], to[i]))
            return false;
    return pln_dim_is(from[2], 1);
}

/* v, [b, h, 1, t, d], without the third dimension. */
static pln_value *without_third(pln_patch *p, pln_value *v)
{
    int64_t axes[PLN_MAX_RANK];
    size_t n_axes;
    const pln_node *u = v->def;
    if (u && pln_node_is(u, "Unsqueeze") && pln_axes_of(u->in[1], 5, axes, &n_axes) &&
        n_axes == 1 && axes[0] == 2)
        return u->in[0];
    return pln_patch_op2(p, "Squeeze", v, pln_patch_ints(p, (int64_t[]){ 2 }, 1, "axes"));
}

/* Head by head, x of so many heads makes v; `skip` is a dimension of x that v has not. */
static bool are_repeated(const pln_value *x, const pln_value *v, int skip)
{
    const int64_t heads = known(x, 1);
    if (heads < 1 || known(v, 1) <= heads || known(v, 1) % heads)
        return false;
    for (int i = 0; i < 4; i++)
        if (i != 1 && !pln_dim_equal(x->type.shape.dims[i + (i >= skip)],
                                     v->type.shape.dims[i]))
            return false;
    return true;
}

pln_value *pln_unrepeated(pln_patch *p, const pln_value *v, int64_t *heads)
{
    const pln_node *n = v->def;
    if (!n || pln_value_rank(v) != 4)
        return NULL;
    if (pln_node_is(n, "Reshape") && repeats_fifth(n->in[0]->def)) {
        pln_value *x = n->in[0]->def->in[0];
        *heads = known(x, 1);
        return are_repeated(x, v, 2) ? without_third(p, x) : NULL;
    }
    const bool gathers = pln_node_is(n, "Gather") && pln_node_get_int(n, "axis", 0) == 1;
    if ((!gathers && !pln_node_is(n, "Expand")) || pln_value_rank(n->in[0]) != 4 ||
        !are_repeated(n->in[0], v, 4))
        return NULL;
    *heads = known(n->in[0], 1);
    return (gathers ? is_repeating_index(n->in[1], *heads) : *heads == 1) ? n->in[0]
                                                                          : NULL;
}

pln_status pln_attention_repeat_build(pln_match *m, pln_patch *p)
{
    pln_node *old = m->root;
    pln_value *in[8] = { NULL };
    int64_t k_heads, v_heads;
    if (old->n_in > 7 || old->n_out != 1)
        return pln_match_refuse(m, "it has a cache");
    for (uint32_t i = 0; i < old->n_in; i++)
        in[i] = old->in[i];
    in[1] = pln_unrepeated(p, old->in[1], &k_heads);
    in[2] = pln_unrepeated(p, old->in[2], &v_heads);
    if (!in[1] || !in[2] || k_heads != v_heads)
        return pln_match_refuse(m, "keys and values are not repeated");
    pln_node *n = pln_patch_copy(p, old, in, old->n_in);
    if (!n ||
        (*n->domain &&
         (pln_node_set_int(n, "q_num_heads", known(old->in[1], 1)) != PLN_OK ||
          pln_node_set_int(n, "kv_num_heads", k_heads) != PLN_OK)))
        return PLN_E_NOMEM;
    pln_patch_replace(p, old->out[0], n->out[0]);
    return PLN_OK;
}

/* ---- caches ---------------------------------------------------------------------- */

pln_node *pln_cache_of(const pln_value *v)
{
    pln_node *n = v->def;
    if (!n || !pln_node_is(n, "Concat") || n->n_in != 2 || pln_value_rank(v) != 4 ||
        n->graph != v->graph)
        return NULL;
    const int64_t axis = pln_node_get_int(n, "axis", 0);
    return axis == 2 || axis == -2 ? n : NULL;
}

bool pln_caches_fit(const pln_node *k, const pln_node *v)
{
    for (int part = 0; part < 2; part++)
        if (pln_value_rank(k->in[part]) < 3 || pln_value_rank(v->in[part]) < 3)
            return false;
    for (int i = 0; i < 3; i++)
        for (int part = 0; part < 2; part++)
            if (!pln_dim_equal(k->in[part]->type.shape.dims[i],
                               v->in[part]->type.shape.dims[i]))
                return false;
    return true;
}

pln_status pln_attention_cache_build(pln_match *m, pln_patch *p)
{
    pln_node *old = m->root, *k = pln_cache_of(old->in[1]), *v = pln_cache_of(old->in[2]);
    if (!k || !v || k == v || old->n_in > 4 || old->n_out != 1)
        return pln_match_refuse(m, "keys and values are not appended to a cache");
    for (int i = 0; i < 2; i++)
        if (pln_value_rank(k->in[i]) != 4 || pln_value_rank(v->in[i]) != 4)
            return pln_match_refuse(m, "the cache is not of rank 4");
    if (!pln_caches_fit(k, v))
        return pln_match_refuse(m, "'%s' and '%s' may differ in length", k->in[0]->name,
                                v->in[0]->name);
    if (pln_node_get_int(old, "is_causal", 0))
        return pln_match_refuse(m, "causal order counts from the cache on");
    pln_value *in[6] = { old->in[0], k->in[1],
                         v->in[1],   old->n_in > 3 ? old->in[3] : NULL,
                         k->in[0],   v->in[0] };
    pln_node *n = pln_patch_add_in(p, old->domain, old->op_type, in, 6, 3);
    for (uint32_t i = 0; n && i < old->n_attrs; i++)
        if (pln_node_set_attr(n, old->attrs[i]) != PLN_OK)
            return PLN_E_NOMEM;
    if (!n)
        return PLN_E_NOMEM;
    pln_patch_replace(p, old->out[0], n->out[0]);
    pln_patch_replace(p, k->out[0], n->out[1]);
    pln_patch_replace(p, v->out[0], n->out[2]);
    return PLN_OK;
}
