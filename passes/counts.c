/* counts: what is known of 0, 1, 2 ... n - 1 along an axis, as exporters write masks.
 * Picked by the counts of all its axes, a value is itself; counts are never negative, so
 * that a condition on them may be true everywhere.
 *
 *     GatherND(x, [rows, columns])             =>  Reshape(x, ..)
 *     Gather(Flatten(x), rows n + columns)     =>  Reshape(x, ..)     x has n columns
 *     Add(s, Where(And(c, rows >= 0), 0, -9))  =>  Add(s, Where(c, 0, -9))
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"

#include <string.h>

#define MAX_STEPS 8
#define MAX_USES  64

static pln_value *out_of(const pln_match *m)
{
    return m->root->out[0];
}

static bool is_number(const pln_value *v, double want)
{
    double have;
    return v && pln_value_is_splat(v, &have) && have == want;
}

static bool is_count(const pln_node *n)
{
    return pln_node_is(n, "Range") && is_number(n->in[0], 0) && is_number(n->in[2], 1);
}

/* Where axis `at` of what an Unsqueeze reads is behind it. */
static int behind_unsqueeze(const pln_node *n, int at)
{
    int64_t axes[PLN_MAX_RANK];
    size_t n_axes, k = 0;
    const int rank = pln_value_rank(n->out[0]);
    if (rank < 0 || !pln_axes_of(n->in[1], rank, axes, &n_axes))
        return -1;
    for (int i = 0; i < rank; i++) {
        const bool is_new = k < n_axes && axes[k] == i;
        if (is_new)
            k++;
        else if (at-- == 0)
            return i;
    }
    return -1;
}

/* The axis along which v counts from 0, the same for all others, or -1. */
static int count_axis(const pln_value *v, int steps)
{
    const pln_node *n = v->def;
    if (!n || !steps)
        return -1;
    if (is_count(n))
        return 0;
    const int at = n->n_in ? count_axis(n->in[0], steps - 1) : -1;
    if (at < 0)
        return -1;
    if (pln_node_is(n, "Unsqueeze") && n->n_in > 1)
        return behind_unsqueeze(n, at);
    if (!pln_node_is(n, "Expand"))
        return -1;
    const int more = pln_value_rank(v) - pln_value_rank(n->in[0]);
    const pln_dim *from = n->in[0]->type.shape.dims;
    return more >= 0 && !pln_dim_is_unknown(from[at]) &&
                   pln_dim_equal(from[at], v->type.shape.dims[at + more])
               ? at + more
               : -1;
}

/* y has the axes of x, in order, at `at`, and is 1 everywhere else. */
static bool is_view_at(const pln_value *x, const pln_value *y, const int *at)
{
    const pln_shape a = x->type.shape, b = y->type.shape;
    int k = 0;
    for (int i = 0; i < b.rank; i++) {
        const bool here = k < a.rank && at[k] == i;
        if (here ? pln_dim_is_unknown(a.dims[k]) || !pln_dim_equal(a.dims[k], b.dims[i])
                 : !pln_dim_is(b.dims[i], 1))
            return false;
        k += here;
    }
    return k == a.rank;
}

static pln_status as_view(pln_match *m, pln_patch *p, pln_value *x, const int *at)
{
    if (!is_view_at(x, out_of(m), at))
        return pln_match_refuse(m, "not all places of '%s' in order", x->name);
    pln_value *y = pln_patch_view(p, x, out_of(m)->type.shape);
    if (!y)
        return pln_match_refuse(m, "the sizes are not known");
    pln_patch_replace_proven(p, out_of(m), y);
    return PLN_OK;
}

static pln_status gather_of_counts(pln_match *m, pln_patch *p)
{
    int at[PLN_MAX_RANK];
    pln_value *x = pln_match_val(m, "x");
    const pln_node *c = pln_match_node(m, "c");
    const int rank = pln_value_rank(x), last = pln_value_rank(c->out[0]) - 1;
    const int64_t axis = pln_node_get_int(c, "axis", 0);
    if (rank < 1 || (int)c->n_in != rank || pln_value_rank(out_of(m)) < 0 ||
        pln_node_get_int(m->root, "batch_dims", 0) || (axis != -1 && axis != last))
        return pln_match_refuse(m, "not one index for each axis");
    for (int i = 0; i < rank; i++) {
        at[i] = count_axis(c->in[i], MAX_STEPS);
        if (at[i] < 0 || !pln_dim_is(c->in[i]->type.shape.dims[last], 1))
            return pln_match_refuse(m, "'%s' does not count", c->in[i]->name);
    }
    return as_view(m, p, x, at);
}

/* A matrix as one column or row. */
static bool is_flat(const pln_node *f)
{
    int64_t to[2];
    size_t n;
    if (pln_node_is(f, "Flatten"))
        return pln_node_get_int(f, "axis", 1) == 2;
    return pln_value_get_ints(f->in[1], to, 2, &n) && to[0] == -1 &&
           (n == 1 || to[1] == 1);
}

static pln_status gather_of_flat(pln_match *m, pln_patch *p)
{
    pln_value *x = pln_match_val(m, "x");
    const pln_value *i = pln_match_val(m, "i"), *u = pln_match_val(m, "u"),
                    *v = pln_match_val(m, "v"), *n = pln_match_val(m, "n");
    if (pln_value_rank(x) != 2 || !is_flat(pln_match_node(m, "f")) || pln_value_rank(i) < 0 ||
        !n->sym || n->sym->n != 1 || pln_dim_is_unknown(n->sym->v[0]) ||
        !pln_dim_equal(n->sym->v[0], x->type.shape.dims[1]))
        return pln_match_refuse(m, "not a matrix by its number of columns");
    const int rank = pln_value_rank(i), ru = pln_value_rank(u), rv = pln_value_rank(v);
    const int a = count_axis(u, MAX_STEPS), b = count_axis(v, MAX_STEPS);
    if (a < 0 || b < 0)
        return pln_match_refuse(m, "no counts");
    return as_view(m, p, x, (const int[]){ a + rank - ru, b + rank - rv });
}

/* ---- conditions that hold ---------------------------------------------------------- */

static bool is_count_of_any_shape(const pln_value *v)
{
    return count_axis(v, MAX_STEPS) >= 0;
}

static bool holds(const pln_value *v)
{
    double c;
    const pln_node *n = v->def;
    if (pln_value_is_uniform(v, &c))
        return c != 0;
    return n && pln_node_is(n, "GreaterOrEqual") && is_count_of_any_shape(n->in[0]) &&
           pln_value_is_splat(n->in[1], &c) && c <= 0;
}

/* One number, that makes nothing larger. */
static bool is_scalar(const pln_value *v)
{
    return pln_value_rank(v) == 0 || (pln_value_rank(v) == 1 && pln_value_count(v) == 1);
}

/* A patch under way that puts smaller values in the place of broadcast ones. */
typedef struct shrinking {
    pln_patch *p;
    int uses;
} shrinking;

static bool shrink(shrinking *s, pln_value *old, pln_value *with, int steps);

/* Use of `old`: a copy of its node on `with` takes its place, or what uses that, in
 * turn. */
static bool shrink_use(shrinking *s, pln_node *n, const pln_value *old, pln_value *with,
                       int steps)
{
    static const char *const ops[] = { "Add", "Sub", "Mul", "Where", "Cast", "Not" };
    pln_value *in[3];
    bool fits = false, alone = true;
    size_t k = 0;
    while (k < sizeof ops / sizeof ops[0] && !pln_node_is(n, ops[k]))
        k++;
    if (k == sizeof ops / sizeof ops[0] || n->graph != s->p->graph ||
        ++s->uses > MAX_USES)
        return false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        in[i] = n->in[i] == old ? with : n->in[i];
        fits |= n->in[i] != old &&
                pln_value_rank(n->in[i]) == pln_value_rank(n->out[0]) &&
                pln_value_broadcasts_into(n->out[0], n->in[i]);
        alone &= n->in[i] == old || is_scalar(n->in[i]);
    }
    s->p->before = n; /* what it reads is computed there */
    pln_node *copy = fits || alone ? pln_patch_copy(s->p, n, in, n->n_in) : NULL;
    if (!copy)
        return false;
    if (!fits)
        return shrink(s, n->out[0], copy->out[0], steps - 1);
    pln_patch_replace_proven(s->p, n->out[0], copy->out[0]);
    return true;
}

static bool shrink(shrinking *s, pln_value *old, pln_value *with, int steps)
{
    for (const pln_use *u = old->uses; u; u = u->next)
        if (!steps || !u->node || !shrink_use(s, u->node, old, with, steps))
            return false;
    return old->n_uses > 0;
}

static pln_status without_condition(pln_match *m, pln_patch *p)
{
    shrinking s = { .p = p };
    for (int i = 0; i < 2; i++) {
        pln_value *x = m->root->in[1 - i];
        if (!holds(m->root->in[i]))
            continue;
        if (pln_value_same_type(x, out_of(m))) {
            pln_patch_replace(p, out_of(m), x);
            return PLN_OK;
        }
        if (pln_value_rank(x) != pln_value_rank(out_of(m)) ||
            !shrink(&s, out_of(m), x, MAX_STEPS))
            return pln_match_refuse(m, "'%s' makes the result larger",
                                    m->root->in[i]->name);
        return PLN_OK;
    }
    return pln_match_refuse(m, "neither side always holds");
}

static const pln_rule rules[] = {
    { .name = "gather-counts",
      .match = "GatherND(x, c=Concat(...))",
      .build = gather_of_counts },
    { .name = "gather-counts",
      .match = "Gather<axis=0>(f=Flatten|Reshape(x, ...), i=Add~(v, Mul~(u, n)))",
      .build = gather_of_flat },
    { .name = "and-true", .match = "And(a, b)", .build = without_condition },
};

const pln_pass pln_pass_counts = {
    .name = "counts",
    .brief = "what is picked by counting all its places is itself",
    PLN_RULES(rules),
};
