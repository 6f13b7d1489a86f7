/* The masks of an attention: do they fit its scores, and all of them in one.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/fuse_attention.h"

#include <math.h>

#define MOST_BEFORE    4
#define MOST_KEYS      2048 /* of a constant mask that is looked at */
#define OPSET_OF_ORDER 14   /* Trilu, by which causal order is stated */
#define OPSET_OF_PARTS 15   /* Shape gives some of the sizes */

/* Certainly, and with all keys in the last dimension, as Attention wants it. */
static bool fits(const pln_value *v, const pln_extent *e)
{
    const int rank = pln_value_rank(v);
    if (rank < 1 || rank > e->rank)
        return false;
    for (int i = 1; i <= rank; i++) {
        const pln_dim d = v->type.shape.dims[rank - i];
        if (!pln_dim_equal(d, e->d[e->rank - i]) && (i == 1 || !pln_dim_is(d, 1)))
            return false;
    }
    return true;
}

/* The masks are one row for all queries. The standard lets that broadcast; ONNX Runtime
 * wants a row for each query, so that files for it have those. */
static bool lacks_rows(const pln_pass_ctx *ctx, const pln_scores *s, const pln_extent *e)
{
    bool one = !ctx->options->session && ctx->options->target != PLN_TARGET_PLANISH &&
               s->n_masks && !pln_dim_is(e->d[e->rank - 2], 1);
    for (int i = 0; i < s->n_masks; i++) {
        const int rank = pln_value_rank(s->mask[i].v);
        one &= rank < 2 || pln_dim_is(s->mask[i].v->type.shape.dims[rank - 2], 1);
    }
    return one;
}

/* What a product with a matrix made v of, with a row for each of its rows. */
static pln_value *rows_before(pln_value *v)
{
    for (int i = 0; i < MOST_BEFORE && v->def; i++) {
        const pln_node *n = v->def;
        const bool add = pln_node_is(n, "Add") && pln_value_same_type(n->in[0], v);
        const bool product = pln_node_is(n, "MatMul") && pln_value_rank(n->in[1]) == 2 &&
                             pln_value_rank(n->in[0]) == pln_value_rank(v);
        if (!add && !product)
            break;
        v = n->in[0];
    }
    return v;
}

/* A value and the axis of it that is as long as there are queries: rather of a mask,
 * which many layers share. */
static pln_value *find_rows(const pln_scores *s, const pln_extent *e, int *axis)
{
    pln_joined j;
    pln_value *mask = s->mask[0].v;
    if (pln_dim_equal(e->d[e->rank - 2], e->d[e->rank - 1])) {
        *axis = pln_value_rank(mask) - 1;
        return mask;
    }
    const bool joined = pln_joined_of(s->q, &j);
    *axis = joined ? !j.len_first : e->rank - 2;
    return joined ? rows_before(j.x) : s->q;
}

/* [queries, 1] */
static pln_value *row_shape(pln_patch *p, const pln_scores *s, const pln_extent *e)
{
    const pln_dim rows = e->d[e->rank - 2];
    if (pln_dim_is_known(rows))
        return pln_patch_ints(p, (int64_t[]){ rows.value, 1 }, 2, "rows");
    int axis;
    pln_value *from = find_rows(s, e, &axis);
    pln_value *one = pln_patch_ints(p, (int64_t[]){ 1 }, 1, "one");
    pln_node *shape = pln_patch_add(p, "Shape", &from, 1, 1);
    if (!shape || pln_node_set_int(shape, "start", axis) != PLN_OK ||
        pln_node_set_int(shape, "end", axis + 1) != PLN_OK)
        return NULL;
    pln_node *both =
        pln_patch_add(p, "Concat", (pln_value *[]){ shape->out[0], one }, 2, 1);
    return both && pln_node_set_int(both, "axis", 0) == PLN_OK ? both->out[0] : NULL;
}

static pln_value *with_rows(pln_patch *p, pln_value *v, const pln_scores *s,
                            const pln_extent *e)
{
    if (!v || !lacks_rows(p->ctx, s, e))
        return v;
    pln_value *shape = row_shape(p, s, e);
    return shape ? pln_patch_op2(p, "Expand", v, shape) : NULL;
}

pln_status pln_scores_check_masks(pln_match *m, const pln_scores *s, const pln_extent *e)
{
    if (lacks_rows(m->ctx, s, e) && !pln_dim_is_known(e->d[e->rank - 2]) &&
        !pln_pass_allows_opset(m->ctx, OPSET_OF_PARTS))
        return pln_match_refuse(m, "ONNX Runtime wants a row of the mask for each query");
    for (int i = 0; i < s->n_masks; i++) {
        const pln_mask *k = &s->mask[i];
        if (k->kind == PLN_MASK_ADD && k->v->type.dtype != s->q->type.dtype)
            return pln_match_refuse(m, "mask '%s' has another type", k->v->name);
        if (k->kind != PLN_MASK_ADD && k->fill != -INFINITY)
            return pln_match_refuse(m, "'%s' hides by a finite number", k->v->name);
        if (!fits(k->v, e))
            return pln_match_refuse(m, "mask '%s' is not certain to fit the scores",
                                    k->v->name);
    }
    return PLN_OK;
}

static pln_value *both(pln_patch *p, const char *op, pln_value *a, pln_value *b)
{
    return a ? pln_patch_op2(p, op, a, b) : b;
}

/* -inf where the only mask of the kind KEEP or HIDE says so, else `sum`. */
static pln_value *hidden_sum(pln_patch *p, const pln_scores *s, pln_value *sum,
                             pln_value *keep, bool hides)
{
    pln_value *inf = pln_patch_scalar(p, s->q->type.dtype, -INFINITY, "hidden");
    pln_value *in[3] = { keep, hides ? inf : sum, hides ? sum : inf };
    pln_node *n = pln_patch_add(p, "Where", in, 3, 1);
    return n ? n->out[0] : NULL;
}

pln_value *pln_scores_mask(pln_patch *p, const pln_scores *s, const pln_extent *e)
{
    pln_value *sum = NULL, *keep = NULL;
    int n_bool = 0, n_float = 0;
    for (int i = 0; i < s->n_masks; i++)
        *(s->mask[i].kind == PLN_MASK_ADD ? &n_float : &n_bool) += 1;
    bool hides = false;
    for (int i = s->n_masks - 1; i >= 0; i--) {
        pln_value *v = s->mask[i].v;
        hides |= s->mask[i].kind == PLN_MASK_HIDE;
        if (s->mask[i].kind == PLN_MASK_HIDE && (n_bool > 1 || !n_float))
            v = pln_patch_op1(p, "Not", v);
        if (s->mask[i].kind == PLN_MASK_ADD)
            sum = both(p, "Add", sum, v);
        else
            keep = both(p, "And", keep, v);
    }
    pln_value *v = sum ? sum : keep;
    if (sum && keep)
        v = hidden_sum(p, s, sum, keep, hides && n_bool == 1);
    return with_rows(p, v, s, e);
}

/* ---- causal order ---------------------------------------------------------------- */

/* 0 for the keys up to the query's own, hidden by -inf behind it. */
static bool hides_at(const pln_mask *k, const pln_tensor *t, int64_t at)
{
    const double v = pln_tensor_get_f64(t, at);
    return k->kind == PLN_MASK_ADD ? v == -INFINITY
                                   : (v != 0) == (k->kind == PLN_MASK_HIDE);
}

static bool keeps_at(const pln_mask *k, const pln_tensor *t, int64_t at)
{
    return k->kind == PLN_MASK_ADD ? pln_tensor_get_f64(t, at) == 0 : !hides_at(k, t, at);
}

static bool is_order(const pln_mask *k, int64_t len)
{
    pln_tensor *t = pln_value_is_const(k->v) ? k->v->cst : NULL;
    pln_error local = { .code = PLN_OK };
    if (!t || t->kind != PLN_KIND_TENSOR || pln_tensor_size(t) != len * len ||
        t->rank < 2 || t->dims[t->rank - 1] != len || t->dims[t->rank - 2] != len ||
        (k->kind != PLN_MASK_ADD && k->fill != -INFINITY) ||
        pln_tensor_materialize(t, &local) != PLN_OK)
        return false;
    for (int64_t i = 0; i < len; i++)
        for (int64_t j = 0; j < len; j++)
            if (j > i ? !hides_at(k, t, i * len + j) : !keeps_at(k, t, i * len + j))
                return false;
    return true;
}

void pln_scores_find_order(const pln_pass_ctx *ctx, pln_scores *s, const pln_extent *e)
{
    const pln_dim q = e->d[e->rank - 2], k = e->d[e->rank - 1];
    int n = 0;
    if (!pln_dim_is_known(q) || !pln_dim_equal(q, k) || q.value < 2 ||
        q.value > MOST_KEYS || !pln_pass_allows_opset(ctx, OPSET_OF_ORDER))
        return;
    for (int i = 0; i < s->n_masks; i++) {
        const bool order = is_order(&s->mask[i], q.value);
        s->causal |= order;
        if (!order)
            s->mask[n++] = s->mask[i];
    }
    s->n_masks = n;
}
