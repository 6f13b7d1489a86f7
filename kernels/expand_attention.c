/* Attention and RotaryEmbedding in terms of older operators.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/expand.h"

#define LEAST -3.4028234663852886e38 /* below it is only minus infinity */

typedef struct attention {
    pln_expander x;
    int64_t heads, kv_heads; /* -1: not known */
    bool flat;               /* Q, K, V have rank 3 */
    pln_value *k, *v;
    pln_value *q_len, *total; /* vectors of one */
    bool may_be_empty;        /* rows that attend to nothing */
} attention;

static int rank_of(const pln_value *v)
{
    return v ? v->type.shape.rank : -1;
}

/* (batch, length, heads * size) to (batch, heads, length, size) */
static pln_value *split_heads(attention *a, pln_value *v, int64_t heads)
{
    static const int64_t perm[] = { 0, 2, 1, 3 };
    const int64_t dims[] = { 0, 0, heads, -1 };
    if (!a->flat)
        return v;
    if (heads < 1)
        pln_expand_refuse(&a->x, "its number of heads is not known");
    return pln_expand_transpose(&a->x, pln_expand_reshape(&a->x, v, dims, 4), perm, 4);
}

static pln_value *with_past(attention *a, pln_value *v, uint32_t past)
{
    pln_value *both[] = { pln_expand_in(&a->x, past), v };
    return both[0] ? pln_expand_concat(&a->x, 2, both, 2) : v;
}

/* Each head of K or V for a group of heads of Q. */
static pln_value *repeat_heads(attention *a, pln_value *v)
{
    static const int64_t behind[] = { 2 }, first[] = { 0 }, last[] = { 2, 3 };
    if (a->heads < 0 || a->kv_heads < 1)
        pln_expand_refuse(&a->x, "its numbers of heads are not known");
    if (a->x.st != PLN_OK || a->heads == a->kv_heads)
        return v;
    const int64_t times[] = { 1, 1, a->heads / a->kv_heads, 1, 1 };
    pln_value *shape = pln_expand_1(&a->x, "Shape", v);
    pln_value *many = pln_expand_2(&a->x, "Tile",
                                   pln_expand_unsqueeze(&a->x, v, behind, 1),
                                   pln_expand_ints(&a->x, times, 5));
    pln_value *dims[] = {
        pln_expand_2(&a->x, "Gather", shape, pln_expand_ints(&a->x, first, 1)),
        pln_expand_ints(&a->x, &a->heads, 1),
        pln_expand_2(&a->x, "Gather", shape, pln_expand_ints(&a->x, last, 2)),
    };
    return pln_expand_2(&a->x, "Reshape", many, pln_expand_concat(&a->x, 0, dims, 3));
}

/* The root of the scale, by which both Q and K are multiplied. */
static pln_value *scaled(attention *a, pln_value *v, pln_value *q4)
{
    static const int64_t last[] = { 3 };
    const pln_attr *given = pln_node_find_attr(a->x.n, "scale");
    const pln_value *q = a->x.n->in[0];
    int64_t size = pln_expand_size(q, rank_of(q) - 1);
    if (size > 0 && a->flat)
        size /= a->heads > 0 ? a->heads : 1;
    if (given && given->type == PLN_ATTR_FLOAT && given->f < 0)
        pln_expand_refuse(&a->x, "its scale is negative");
    if (given && given->type == PLN_ATTR_FLOAT)
        return pln_expand_by(&a->x, "Mul", v, sqrt((double)given->f));
    if (size > 0)
        return pln_expand_by(&a->x, "Mul", v, 1 / sqrt(sqrt((double)size)));
    pln_value *dim = pln_expand_2(&a->x, "Gather", pln_expand_1(&a->x, "Shape", q4),
                                  pln_expand_ints(&a->x, last, 1));
    pln_value *root = pln_expand_1(
        &a->x, "Sqrt",
        pln_expand_1(&a->x, "Sqrt", pln_expand_cast(&a->x, dim, a->x.dt)));
    return pln_expand_2(&a->x, "Div", v, root);
}

/* ---- what may be attended to ------------------------------------------------------- */

/* Where a bool mask is true 0, else minus infinity. */
static pln_value *as_bias(attention *a, pln_value *mask)
{
    return pln_expand_3(&a->x, "Where", mask, pln_expand_scalar(&a->x, a->x.dt, 0),
                        pln_expand_scalar(&a->x, a->x.dt, -INFINITY));
}

static pln_value *both(attention *a, pln_value *m, pln_value *other)
{
    return m ? pln_expand_2(&a->x, "And", m, other) : other;
}

static pln_value *not_of(attention *a, const char *test, pln_value *v, pln_value *w)
{
    return pln_expand_1(&a->x, "Not", pln_expand_2(&a->x, test, v, w));
}

static pln_value *shifted(attention *a, const char *op, pln_value *v, int64_t by)
{
    return pln_expand_2(&a->x, op, v, pln_expand_ints(&a->x, &by, 1));
}

/* Keys by their number: before the query, within the window, no padding. */
static pln_value *index_mask(attention *a)
{
    static const int64_t behind[] = { 1 }, batch[] = { 1, 2, 3 }, length[] = { 2 };
    const bool causal = pln_expand_int(&a->x, "is_causal", 0) != 0;
    const int64_t left = pln_expand_int(&a->x, "left_window_size", -1);
    const int64_t right = pln_expand_int(&a->x, "right_window_size", -1);
    pln_value *past = pln_expand_in(&a->x, 4), *valid = pln_expand_in(&a->x, 6);
    pln_value *mask = NULL;
    if (!causal && left < 0 && right < 0 && !valid)
        return NULL;
    pln_value *keys = pln_expand_count(&a->x, a->total);
    if (valid) {
        valid = pln_expand_unsqueeze(&a->x, valid, batch, 3);
        mask = pln_expand_2(&a->x, "Less", keys, valid);
    }
    if (!causal && left < 0 && right < 0)
        return mask;
    pln_value *at =
        pln_expand_unsqueeze(&a->x, pln_expand_count(&a->x, a->q_len), behind, 1);
    if (past)
        at =
            pln_expand_2(&a->x, "Add", at,
                         pln_expand_2(&a->x, "Gather", pln_expand_1(&a->x, "Shape", past),
                                      pln_expand_ints(&a->x, length, 1)));
    else if (valid)
        at = pln_expand_2(&a->x, "Add", at, pln_expand_2(&a->x, "Sub", valid, a->q_len));
    if (causal)
        mask = both(a, mask, not_of(a, "Greater", keys, at));
    if (left >= 0)
        mask = both(a, mask, not_of(a, "Less", keys, shifted(a, "Sub", at, left)));
    if (right >= 0)
        mask = both(a, mask, not_of(a, "Greater", keys, shifted(a, "Add", at, right)));
    a->may_be_empty |= valid || left >= 0 || right >= 0;
    return mask;
}

/* A mask may end before the last keys: they are not attended to. */
static pln_value *to_all_keys(attention *a, pln_value *bias, const pln_value *mask)
{
    const pln_value *k = a->x.n->in[1];
    const int rank = rank_of(mask);
    const int64_t have = pln_expand_size(mask, rank - 1);
    const int64_t len = pln_expand_size(k, a->flat ? 1 : 2);
    const pln_value *past = pln_expand_in(&a->x, 4);
    const int64_t before = past ? pln_expand_size(past, 2) : 0;
    int64_t zeros[2 * PLN_MAX_RANK] = { 0 };
    if (rank < 1)
        pln_expand_refuse(&a->x, "the rank of its mask is not known");
    if (a->x.st != PLN_OK ||
        (have >= 0 && len >= 0 && before >= 0 && have == len + before))
        return bias;
    if (!past && rank > 0 && k->type.shape.rank > 2 &&
        pln_dim_equal(mask->type.shape.dims[rank - 1],
                      k->type.shape.dims[a->flat ? 1 : 2]))
        return bias;
    const int64_t last[] = { rank - 1 };
    pln_value *width = pln_expand_2(
        &a->x, "Gather", pln_expand_1(&a->x, "Shape", (pln_value *)(uintptr_t)mask),
        pln_expand_ints(&a->x, last, 1));
    pln_value *pads[] = { pln_expand_ints(&a->x, zeros, (size_t)(2 * rank - 1)),
                          pln_expand_2(&a->x, "Sub", a->total, width) };
    return pln_expand_3(&a->x, "Pad", bias, pln_expand_concat(&a->x, 0, pads, 2),
                        pln_expand_scalar(&a->x, a->x.dt, -INFINITY));
}

static pln_value *with_bias(attention *a, pln_value *s)
{
    pln_value *mask = pln_expand_in(&a->x, 3), *allowed = index_mask(a);
    if (mask) {
        const pln_dtype dt = mask->type.dtype;
        pln_value *bias = dt == PLN_DT_BOOL ? as_bias(a, mask)
                          : dt == a->x.dt   ? mask
                                            : pln_expand_cast(&a->x, mask, a->x.dt);
        s = pln_expand_2(&a->x, "Add", s, to_all_keys(a, bias, mask));
        a->may_be_empty = true;
    }
    return allowed ? pln_expand_2(&a->x, "Add", s, as_bias(a, allowed)) : s;
}

/* A row that attends to nothing gives zeros. */
static pln_value *probabilities(attention *a, pln_value *s)
{
    static const int64_t last[] = { 3 };
    const int64_t want = pln_expand_int(&a->x, "softmax_precision", 0);
    const pln_dtype dt = want ? (pln_dtype)want : a->x.dt;
    pln_value *in = dt == a->x.dt ? s : pln_expand_cast(&a->x, s, dt);
    pln_value *p = pln_expand_set(&a->x, pln_expand_1(&a->x, "Softmax", in), "axis", -1);
    if (dt != a->x.dt)
        p = pln_expand_cast(&a->x, p, a->x.dt);
    if (!a->may_be_empty)
        return p;
    pln_value *wide = a->x.dt == PLN_DT_F32 ? s : pln_expand_cast(&a->x, s, PLN_DT_F32);
    pln_value *top =
        pln_expand_2(&a->x, "ReduceMax", wide, pln_expand_ints(&a->x, last, 1));
    pln_value *empty =
        pln_expand_2(&a->x, "Less", top, pln_expand_scalar(&a->x, PLN_DT_F32, LEAST));
    return pln_expand_3(&a->x, "Where", empty, pln_expand_scalar(&a->x, a->x.dt, 0), p);
}

/* ---- the whole ------------------------------------------------------------------- */

static attention begin(pln_node *n, int64_t version, pln_error *err)
{
    attention a = { .x = pln_expand_begin(n, version, err) };
    const int rank = pln_expand_rank(&a.x);
    a.flat = rank == 3;
    if (rank != 3 && rank != 4)
        pln_expand_refuse(&a.x, "its rank is neither 3 nor 4");
    if (a.x.st == PLN_OK && (rank_of(n->in[1]) != rank ||
                             n->in[2]->type.dtype != a.x.dt || rank_of(n->in[2]) != rank))
        pln_expand_refuse(&a.x, "K and V are unlike Q");
    a.heads =
        a.flat ? pln_expand_int(&a.x, "q_num_heads", 0) : pln_expand_size(n->in[0], 1);
    a.kv_heads =
        a.flat ? pln_expand_int(&a.x, "kv_num_heads", 0) : pln_expand_size(n->in[1], 1);
    return a;
}

static void give_scores(attention *a, int64_t mode, pln_value *v)
{
    if (pln_expand_wants(&a->x, 3) &&
        pln_expand_int(&a->x, "qk_matmul_output_mode", 0) == mode)
        pln_expand_give(&a->x, 3,
                        v == a->x.n->in[0] ? pln_expand_1(&a->x, "Identity", v) : v);
}

/* The vectors q_len and total. */
static void find_lengths(attention *a)
{
    static const int64_t length[] = { 2 };
    pln_node *n = a->x.n;
    a->q_len = pln_expand_dims(&a->x, n->in[0], a->flat ? 1 : 2, 1);
    a->total = pln_expand_in(&a->x, 4)
                   ? pln_expand_2(&a->x, "Gather", pln_expand_1(&a->x, "Shape", a->k),
                                  pln_expand_ints(&a->x, length, 1))
                   : pln_expand_dims(&a->x, n->in[1], a->flat ? 1 : 2, 1);
}

pln_status pln_expand_attention(pln_node *n, int64_t version, pln_error *err)
{
    static const int64_t swap[] = { 0, 1, 3, 2 }, heads_last[] = { 0, 2, 1, 3 };
    static const int64_t joined[] = { 0, 0, -1 };
    attention a = begin(n, version, err);
    pln_expander *x = &a.x;
    if (x->st != PLN_OK)
        return pln_expand_end(x);
    pln_value *q = split_heads(&a, n->in[0], a.heads);
    a.k = with_past(&a, split_heads(&a, n->in[1], a.kv_heads), 4);
    a.v = with_past(&a, split_heads(&a, n->in[2], a.kv_heads), 5);
    pln_value *k = repeat_heads(&a, a.k), *v = repeat_heads(&a, a.v);
    find_lengths(&a);
    pln_value *s = pln_expand_2(
        x, "MatMul", scaled(&a, q, q),
        pln_expand_transpose(x, scaled(&a, k, q), swap, 4));
    pln_value *raw = s, *capped;
    const double cap = (double)pln_expand_float(x, "softcap", 0);
    if (cap > 0)
        s = pln_expand_by(x, "Mul",
                          pln_expand_1(x, "Tanh", pln_expand_by(x, "Div", s, cap)), cap);
    capped = s;
    s = with_bias(&a, s);
    pln_value *p = probabilities(&a, s), *y = pln_expand_2(x, "MatMul", p, v);
    if (a.flat)
        y = pln_expand_reshape(x, pln_expand_transpose(x, y, heads_last, 4), joined, 3);
    pln_expand_give(x, 0, y);
    for (uint32_t i = 1; i <= 2; i++) {
        pln_value *now = i == 1 ? a.k : a.v;
        if (pln_expand_wants(x, i))
            pln_expand_give(x, i,
                            now == n->in[i] ? pln_expand_1(x, "Identity", now) : now);
    }
    give_scores(&a, 0, raw);
    give_scores(&a, 1, capped);
    give_scores(&a, 2, s);
    give_scores(&a, 3, p);
    return pln_expand_end(x);
}

/* ---- rotary embedding ------------------------------------------------------------ */

typedef struct rotary {
    pln_expander x;
    int64_t half; /* pairs that turn */
    bool interleaved;
} rotary;

/* The first (which 0) or second of each pair. */
static pln_value *of_pairs(rotary *r, pln_value *v, int64_t which)
{
    const int64_t paired[] = { 0, 0, 0, r->half, 2 };
    pln_value *pairs = pln_expand_reshape(&r->x, v, paired, 5);
    pln_value *at = pln_expand_scalar(&r->x, PLN_DT_S64, (double)which);
    return pln_expand_set(&r->x, pln_expand_2(&r->x, "Gather", pairs, at), "axis", 4);
}

/* cos or sin as (batch, 1, length, half) */
static pln_value *angles(rotary *r, uint32_t i)
{
    static const int64_t heads[] = { 1 };
    pln_value *ids = pln_expand_in(&r->x, 3), *v = r->x.n->in[i];
    if (ids)
        v = pln_expand_2(&r->x, "Gather", v, ids);
    return pln_expand_unsqueeze(&r->x, v, heads, 1);
}

static pln_value *turned(rotary *r, pln_value *v)
{
    static const int64_t back[] = { 4 };
    const int64_t whole[] = { 0, 0, 0, 2 * r->half }, halves[] = { r->half, r->half };
    pln_expander *x = &r->x;
    pln_value *a, *b;
    if (r->interleaved) {
        a = of_pairs(r, v, 0);
        b = of_pairs(r, v, 1);
    } else {
        pln_value *in[] = { v, pln_expand_ints(x, halves, 2) };
        pln_node *n = pln_expand_node(x, "Split", in, 2, 2);
        if (!n)
            return NULL;
        a = pln_expand_set(x, n->out[0], "axis", 3);
        b = n->out[1];
    }
    pln_value *c = angles(r, 1), *s = angles(r, 2);
    pln_value *parts[] = {
        pln_expand_2(x, "Sub", pln_expand_2(x, "Mul", a, c),
                     pln_expand_2(x, "Mul", b, s)),
        pln_expand_2(x, "Add", pln_expand_2(x, "Mul", a, s),
                     pln_expand_2(x, "Mul", b, c)),
    };
    if (!r->interleaved)
        return pln_expand_concat(x, 3, parts, 2);
    for (int i = 0; i < 2; i++)
        parts[i] = pln_expand_unsqueeze(x, parts[i], back, 1);
    return pln_expand_reshape(x, pln_expand_concat(x, 4, parts, 2), whole, 4);
}

/* The size of a head; -1: it is not known. */
static int64_t head_size(const rotary *r, int rank, int64_t heads)
{
    const int64_t size = pln_expand_size(r->x.n->in[0], rank - 1);
    return size < 0 || rank == 4 ? size : heads > 0 ? size / heads : -1;
}

pln_status pln_expand_rotary(pln_node *n, int64_t version, pln_error *err)
{
    static const int64_t perm[] = { 0, 2, 1, 3 }, joined[] = { 0, 0, -1 };
    rotary r = { .x = pln_expand_begin(n, version, err) };
    pln_expander *x = &r.x;
    const int rank = pln_expand_rank(x);
    const int64_t heads = pln_expand_int(x, "num_heads", 0);
    const int64_t split[] = { 0, 0, heads, -1 };
    int64_t dim = pln_expand_int(x, "rotary_embedding_dim", 0);
    const int64_t size = head_size(&r, rank, heads);
    r.interleaved = pln_expand_int(x, "interleaved", 0) != 0;
    const int64_t cached = pln_expand_size(n->in[1], n->in[1]->type.shape.rank - 1);
    if (dim == 0)
        dim = size > 0 ? size : 2 * cached;
    const bool partial = pln_expand_int(x, "rotary_embedding_dim", 0) != 0 && dim != size;
    r.half = dim / 2;
    if ((rank != 3 && rank != 4) || (rank == 3 && heads < 1))
        pln_expand_refuse(x, "its rank or number of heads is not known");
    if (r.half < 1 || (partial && size < 0))
        pln_expand_refuse(x, "the size of its heads is not known");
    pln_value *v = n->in[0], *rest = NULL;
    if (rank == 3)
        v = pln_expand_transpose(x, pln_expand_reshape(x, v, split, 4), perm, 4);
    if (partial) {
        const int64_t sizes[] = { dim, size - dim };
        pln_value *in[] = { v, pln_expand_ints(x, sizes, 2) };
        pln_node *s = pln_expand_node(x, "Split", in, 2, 2);
        v = s ? pln_expand_set(x, s->out[0], "axis", 3) : NULL;
        rest = s ? s->out[1] : NULL;
    }
    v = turned(&r, v);
    pln_value *parts[] = { v, rest };
    if (rest)
        v = pln_expand_concat(x, 3, parts, 2);
    if (rank == 3)
        v = pln_expand_reshape(x, pln_expand_transpose(x, v, perm, 4), joined, 3);
    pln_expand_give(x, 0, v);
    return pln_expand_end(x);
}
