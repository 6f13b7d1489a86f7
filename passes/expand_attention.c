/* Bodies of the attention operators.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/expand.h"

#include <math.h>

#define MOST_HEADS     256
#define OPSET_OF_ORDER 14 /* Trilu */

static const int64_t heads_first[4] = { 0, 2, 1, 3 };

static int rank_of(const pln_expand *b, uint32_t i)
{
    return pln_value_rank(b->node->in[i]);
}

static pln_value *reshape(pln_expand *b, pln_value *x, const int64_t *to, int n)
{
    return ex_op2(b, "Reshape", x, ex_ints(b, to, n));
}

/* Input i as [batch, heads, len, dim]. */
static pln_value *with_heads(pln_expand *b, uint32_t i, int64_t heads)
{
    pln_value *x = ex_in(b, i);
    if (rank_of(b, i) == 4)
        return x;
    b->failed |= rank_of(b, i) != 3 || heads < 1;
    return ex_transpose(b, reshape(b, x, (int64_t[]){ 0, 0, heads, -1 }, 4), heads_first,
                        4);
}

/* Behind the rows of the cache, which is input `cache`; that is output `o`, too. */
static pln_value *with_past(pln_expand *b, pln_value *x, uint32_t cache, uint32_t o)
{
    pln_value *past = ex_in(b, cache);
    pln_node *n = past ? ex_node(b, "Concat", past, x, NULL) : NULL;
    if (n)
        b->failed |= pln_node_set_int(n, "axis", 2) != PLN_OK;
    b->out[o] = n ? ex_done(b, n) : x;
    return b->out[o];
}

/* `heads` heads of x, of which kv_heads are different, from head `from`. */
static pln_value *picked(pln_expand *b, pln_value *x, int64_t from, int64_t heads,
                         int64_t kv_heads)
{
    int64_t at[MOST_HEADS];
    if (kv_heads < 1 || heads < 1 || heads % kv_heads || heads > MOST_HEADS) {
        b->failed = true;
        return NULL;
    }
    for (int64_t h = 0; h < heads; h++)
        at[h] = from + h / (heads / kv_heads);
    pln_node *n = ex_node(b, "Gather", x, ex_ints(b, at, heads), NULL);
    b->failed |= n && pln_node_set_int(n, "axis", 1) != PLN_OK;
    return ex_done(b, n);
}

/* Each head as often as a group of queries needs it. */
static pln_value *repeated(pln_expand *b, pln_value *x, int64_t heads, int64_t kv_heads)
{
    if (heads == kv_heads || (!heads && *b->node->op->domain) ||
        (!kv_heads && *b->node->op->domain))
        return x;
    return picked(b, x, 0, heads, kv_heads);
}

/* [.., len, dim] to [.., dim, len] */
static pln_value *swapped(pln_expand *b, pln_value *x, int rank)
{
    int64_t perm[4] = { 0, 1, 2, 3 };
    perm[rank - 1] = rank - 2;
    perm[rank - 2] = rank - 1;
    return ex_transpose(b, x, perm, rank);
}

static pln_value *capped(pln_expand *b, pln_value *s)
{
    const float cap = pln_node_get_float(b->node, "softcap", 0);
    if (!(cap > 0))
        return s;
    return ex_linear(b, ex_op1(b, "Tanh", ex_linear(b, s, 1 / cap, 0)), cap, 0);
}

static pln_value *masked(pln_expand *b, pln_value *s)
{
    pln_value *mask = ex_in(b, 3);
    if (!mask)
        return s;
    if (b->node->in[3]->type.dtype != PLN_DT_BOOL)
        return ex_op2(b, "Add", s, mask);
    return ex_done(b, ex_node(b, "Where", mask, s, ex_number(b, -INFINITY)));
}

/* Older operator sets count the axis from the front: they ask for the rank. */
static void set_rank(pln_expand *b, pln_value *v, int rank)
{
    if (v)
        v->type = pln_type_tensor(b->dtype, pln_shape_new(b->m->arena, rank));
}

static pln_value *softmax(pln_expand *b, pln_value *s, int rank)
{
    const pln_dtype in = (pln_dtype)pln_node_get_int(b->node, "softmax_precision", 0);
    const bool other = in != PLN_DT_NONE && in != b->dtype;
    s = other ? ex_cast(b, s, in) : s;
    set_rank(b, s, rank);
    pln_node *n = ex_node(b, "Softmax", s, NULL, NULL);
    b->failed |= n && pln_node_set_int(n, "axis", -1) != PLN_OK;
    return other ? ex_cast(b, ex_done(b, n), b->dtype) : ex_done(b, n);
}

/* -inf for the keys behind a query's own. */
static pln_value *ordered(pln_expand *b, pln_value *s)
{
    if (!pln_node_get_int(b->node, "is_causal", 0))
        return s;
    pln_value *shape = ex_op1(b, "Shape", s), *hidden = ex_number(b, -INFINITY);
    pln_value *all = ex_op2(b, "Expand", hidden, shape);
    pln_value *behind = ex_op2(b, "Trilu", all, ex_ints(b, (int64_t[]){ 1 }, 1));
    return ex_op2(b, "Add", s, behind);
}

/* What the rules of fuse-attention write: no windows, no counts, causal order without a
 * cache. */
static bool is_plain(const pln_expand *b)
{
    const pln_node *n = b->node;
    const bool causal = pln_node_get_int(n, "is_causal", 0) != 0;
    if (causal && (n->n_in > 4 || pln_model_opset(b->m, "") < OPSET_OF_ORDER))
        return false;
    return n->n_in <= 6 &&
           pln_node_get_int(n, "left_window_size", -1) < 0 &&
           pln_node_get_int(n, "right_window_size", -1) < 0 && n->n_out <= 3 &&
           pln_node_find_attr(n, "scale");
}

pln_value *ex_attention(pln_expand *b)
{
    const int64_t heads = pln_node_get_int(b->node, "q_num_heads", 0);
    const int64_t kv_heads = pln_node_get_int(b->node, "kv_num_heads", 0);
    if (!is_plain(b)) {
        b->failed = true;
        return NULL;
    }
    pln_value *q = ex_linear(b, with_heads(b, 0, heads),
                             pln_node_get_float(b->node, "scale", 1), 0);
    pln_value *k = with_past(b, with_heads(b, 1, kv_heads), 4, 1);
    pln_value *v = with_past(b, with_heads(b, 2, kv_heads), 5, 2);
    k = swapped(b, repeated(b, k, heads, kv_heads), 4);
    pln_value *s = capped(b, ex_op2(b, "MatMul", q, k));
    s = softmax(b, ordered(b, masked(b, s)), 4);
    pln_value *y = ex_op2(b, "MatMul", s, repeated(b, v, heads, kv_heads));
    if (rank_of(b, 0) == 4)
        return y;
    return reshape(b, ex_transpose(b, y, heads_first, 4), (int64_t[]){ 0, 0, -1 }, 3);
}

/* ---- planish.FusedAttention ------------------------------------------------------- */

static pln_value *biased(pln_expand *b, pln_value *s)
{
    if (ex_in(b, 3))
        s = ex_op2(b, "Add", s, ex_in(b, 3));
    pln_value *keep = ex_in(b, 4);
    if (!keep)
        return s;
    pln_value *fill = ex_number(b, pln_node_get_float(b->node, "fill", -INFINITY));
    const bool hides = pln_node_get_int(b->node, "hide", 0) != 0;
    return ex_done(b, ex_node(b, "Where", keep, hides ? fill : s, hides ? s : fill));
}

static pln_value *without_nan(pln_expand *b, pln_value *s)
{
    if (!pln_node_get_int(b->node, "zero_nan", 0))
        return s;
    pln_value *nan = ex_op1(b, "IsNaN", s);
    pln_value *zero = ex_number(b, 0);
    return ex_done(b, ex_node(b, "Where", nan, zero, s));
}

/* Queries, keys and values that come in one. */
static void unpack(pln_expand *b, int64_t heads, int64_t kv_heads, pln_value **x)
{
    pln_value *all = with_heads(b, 0, heads + 2 * kv_heads);
    const char *order = pln_node_get_string(b->node, "order", "qkv");
    int64_t from = 0;
    for (; *order; order++) {
        const int i = *order == 'q' ? 0 : *order == 'k' ? 1 : 2;
        const int64_t n = i ? kv_heads : heads;
        x[i] = picked(b, all, from, heads, n);
        from += n;
    }
}

pln_value *ex_fused_attention(pln_expand *b)
{
    const int64_t heads = pln_node_get_int(b->node, "q_num_heads", 0);
    const int64_t kv_heads = pln_node_get_int(b->node, "kv_num_heads", 0);
    const bool headless = !heads && rank_of(b, 0) < 4;
    const int rank = headless ? rank_of(b, 0) : 4;
    const bool packed = b->node->n_in < 2 || !b->node->in[1];
    pln_value *x[3] = { NULL };
    if (packed)
        unpack(b, heads, kv_heads, x);
    for (uint32_t i = 0; i < 3 && !packed; i++) {
        b->failed |= rank_of(b, i) < 2 || (headless && rank_of(b, i) != rank);
        x[i] = headless ? ex_in(b, i) : with_heads(b, i, i ? kv_heads : heads);
        x[i] = i ? repeated(b, x[i], heads, kv_heads) : x[i];
    }
    if (b->failed)
        return NULL;
    pln_value *q = ex_linear(b, x[0], pln_node_get_float(b->node, "scale", 1), 0);
    pln_value *s = capped(b, ex_op2(b, "MatMul", q, swapped(b, x[1], rank)));
    s = without_nan(b, softmax(b, biased(b, s), rank));
    pln_value *y = ex_op2(b, "MatMul", s, x[2]);
    if (headless || !pln_node_get_int(b->node, "merge", 0))
        return y;
    return reshape(b, ex_transpose(b, y, heads_first, 4), (int64_t[]){ 0, 0, -1 }, 3);
}
