/* Masks of attention that hide keys, the same for all heads and queries, as com.microsoft
 * takes them: [batch, keys] of int32, and the number that is added where a key is hidden.
 *
 * Only what certainly has two values is such a mask: (1 - m) * -10000 is none, unless m
 * is known to be 0 or 1. A score that is replaced by a number is taken for one to which
 * that was added,
 * where the number is so low that no finite score makes a difference.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/to_ms_attention.h"

#include <math.h>

#define LOW -1e30

bool pln_ms_fill_is_low(double fill)
{
    return fill <= LOW;
}

/* ---- two values ------------------------------------------------------------------ */

static bool is_bool(const pln_value *v)
{
    return v->type.dtype == PLN_DT_BOOL;
}

/* v = 1 - x */
static pln_value *one_less(const pln_value *v)
{
    double one;
    const pln_node *n = v->def;
    return n && pln_node_is(n, "Sub") && pln_value_is_splat(n->in[0], &one) && one == 1
               ? n->in[1]
               : NULL;
}

static pln_value *under_cast(const pln_value *v)
{
    return v->def && pln_node_is(v->def, "Cast") ? v->def->in[0] : NULL;
}

/* 1 - x where that is 0, the number elsewhere: seen where x is 1. */
static bool is_filled(const pln_node *where, pln_ms_key_mask *k)
{
    const pln_value *of = under_cast(where->in[0]);
    pln_value *x = one_less(where->in[2]), *from = x ? under_cast(x) : NULL;
    if (!is_bool(where->in[0]) || of != where->in[2] || !x ||
        !pln_value_is_splat(where->in[1], &k->filter))
        return false;
    k->flags = from ? from : x;
    k->seen = is_bool(k->flags) ? PLN_SEEN_TRUE : PLN_SEEN_ONE;
    return true;
}

static bool is_choice(const pln_node *where, pln_ms_key_mask *k)
{
    double zero;
    for (int i = 1; i < 3; i++)
        if (pln_value_is_splat(where->in[i], &zero) && zero == 0 &&
            pln_value_is_splat(where->in[3 - i], &k->filter)) {
            k->flags = where->in[0];
            k->seen = i == 1 ? PLN_SEEN_TRUE : PLN_SEEN_FALSE;
            return true;
        }
    return false;
}

static bool is_scaled_flag(pln_value *v, pln_ms_key_mask *k)
{
    pln_value *u;
    if (!pln_value_is_scaled(v, &u, &k->filter))
        return false;
    pln_value *x = one_less(u);
    k->flags = under_cast(x ? x : u);
    k->seen = x ? PLN_SEEN_TRUE : PLN_SEEN_FALSE;
    return k->flags && is_bool(k->flags);
}

static bool has_two_values(const pln_mask *m, pln_ms_key_mask *k)
{
    const pln_node *n = m->v->def;
    if (m->kind != PLN_MASK_ADD) {
        *k = (pln_ms_key_mask){ m->v,
                                m->kind == PLN_MASK_KEEP ? PLN_SEEN_TRUE : PLN_SEEN_FALSE,
                                m->fill };
        return pln_ms_fill_is_low(m->fill);
    }
    const bool where = n && pln_node_is(n, "Where");
    return (where && (is_choice(n, k) || is_filled(n, k))) || is_scaled_flag(m->v, k);
}

/* ---- for each key ---------------------------------------------------------------- */

/* [batch, 1, 1, keys], or that without dimensions of 1. */
static bool is_by_key(const pln_value *v, pln_dim batch, pln_dim keys)
{
    const pln_shape s = v->type.shape;
    return s.rank == 4 && pln_dim_equal(s.dims[0], batch) && pln_dim_is(s.dims[1], 1) &&
           pln_dim_is(s.dims[2], 1) && pln_dim_equal(s.dims[3], keys);
}

void pln_ms_find_key_mask(pln_ms_attention *a)
{
    pln_scores *s = &a->s;
    const pln_dim batch = s->q->type.shape.dims[0], keys = s->kt->type.shape.dims[3];
    int n = 0;
    for (int i = 0; i < s->n_masks; i++) {
        pln_ms_key_mask k;
        const bool alone = s->n_masks == 1 || (s->mask[i].kind == PLN_MASK_ADD &&
                                               !pln_value_is_const(s->mask[1 - !!i].v));
        if (!a->key.flags && alone && s->n_masks < 3 && has_two_values(&s->mask[i], &k) &&
            is_by_key(k.flags, batch, keys) && k.filter < 0)
            a->key = k;
        else
            s->mask[n++] = s->mask[i];
    }
    s->n_masks = n;
}

static bool is_number(const pln_value *v)
{
    double number;
    return pln_value_is_splat(v, &number) && pln_value_count(v) == 1;
}

/* v, [batch, 1, 1, keys], as [batch, keys]: where it was that before. */
static pln_value *flat(pln_patch *p, pln_value *v)
{
    pln_node *n = v->def;
    if (n && pln_node_is(n, "Unsqueeze")) {
        if (pln_value_rank(n->in[0]) == 2 && pln_dim_is(v->type.shape.dims[1], 1))
            return n->in[0];
        if (pln_value_rank(n->in[0]) == 3)
            return flat(p, n->in[0]);
    }
    if (n && n->op && (n->op->traits & PLN_OP_ELEMENTWISE) && n->n_out == 1 &&
        n->n_in > 0 && n->n_in < 3 && n->graph == p->graph) {
        const int at = n->n_in == 2 && is_number(n->in[0]);
        if (pln_value_rank(n->in[at]) == pln_value_rank(v) &&
            (n->n_in == 1 || is_number(n->in[1 - at]))) {
            pln_value *in[2] = { n->in[0], n->n_in > 1 ? n->in[1] : NULL };
            in[at] = flat(p, n->in[at]);
            pln_node *made = in[at] ? pln_patch_copy(p, n, in, n->n_in) : NULL;
            return made ? made->out[0] : NULL;
        }
    }
    static const int64_t middle[2] = { 1, 2 };
    return pln_patch_op2(
        p, "Squeeze", v,
        pln_patch_ints(p, middle, (size_t)(pln_value_rank(v) - 2), "axes"));
}

/* Not(x == 0), for x that is there */
static pln_value *is_not_zero(pln_patch *p, const pln_value *equal)
{
    double zero;
    const pln_node *n = equal->def;
    if (!n || !pln_node_is(n, "Equal") || !equal->n_uses ||
        !pln_value_is_splat(n->in[1], &zero) || zero != 0)
        return NULL;
    pln_value *x = n->in[0];
    pln_node *cast = pln_patch_add(p, "Cast", &x, 1, 1);
    return cast && pln_node_set_int(cast, "to", PLN_DT_BOOL) == PLN_OK ? cast->out[0]
                                                                       : NULL;
}

pln_value *pln_ms_key_flags(pln_patch *p, const pln_ms_key_mask *k)
{
    const pln_node *back = k->flags->def;
    const bool turned = k->seen == PLN_SEEN_FALSE && back && pln_node_is(back, "Not");
    pln_value *v = flat(p, turned ? back->in[0] : k->flags);
    if (v && k->seen == PLN_SEEN_ONE) {
        pln_value *one = pln_patch_scalar(p, k->flags->type.dtype, 1, "seen");
        v = one ? pln_patch_op2(p, "Equal", v, one) : NULL;
    }
    if (v && k->seen == PLN_SEEN_FALSE && !turned) {
        pln_value *other = is_not_zero(p, v);
        v = other ? other : pln_patch_op1(p, "Not", v);
    }
    pln_node *n = v ? pln_patch_add(p, "Cast", &v, 1, 1) : NULL;
    return n && pln_node_set_int(n, "to", PLN_DT_S32) == PLN_OK ? n->out[0] : NULL;
}
