/* The scores of an attention: from the product with the values back to queries, keys,
 * scales and masks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/fuse_attention.h"

#include <math.h>

#define MAX_STEPS 12

/* ---- scales ------------------------------------------------------------------------ */

bool pln_value_is_scaled(pln_value *v, pln_value **x, double *c)
{
    const pln_node *n = v->def;
    if (!n || (!pln_node_is(n, "Mul") && !pln_node_is(n, "Div")))
        return false;
    const bool div = pln_node_is(n, "Div");
    for (int i = 1; i >= (div ? 1 : 0); i--) {
        if (!pln_value_is_splat(n->in[i], c) || !isfinite(*c) || *c == 0 ||
            !pln_value_same_type(n->in[1 - i], v))
            continue;
        *x = n->in[1 - i];
        *c = div ? 1 / *c : *c;
        return true;
    }
    return false;
}

void pln_scores_unscale(pln_value **v, double *scale)
{
    double c;
    for (int i = 0; i < MAX_STEPS && pln_value_is_scaled(*v, v, &c); i++)
        *scale *= c;
}

/* ---- the chain between product and softmax --------------------------------------- */

typedef struct chain {
    pln_scores *s;
    double factor; /* met outside of a Tanh, or so far */
    bool bare;     /* nothing may be added any more: a factor or a Tanh was met */
    double cap;
    const char *why;
} chain;

static bool find_product(chain *c, pln_value *v, int steps);

static bool add_mask(chain *c, pln_value *v, pln_mask_kind kind, double fill)
{
    if (c->bare || c->s->n_masks == PLN_MASKS_MAX) {
        c->why = c->bare ? "the mask is scaled, too" : "too many masks";
        return false;
    }
    c->s->mask[c->s->n_masks++] = (pln_mask){ v, kind, fill };
    return true;
}

/* Either operand may be the scores. */
static bool through_add(chain *c, const pln_node *n, int steps)
{
    for (int i = 0; i < 2; i++) {
        const chain before = *c;
        const pln_scores were = *c->s;
        if (!pln_value_is_const(n->in[i]) && add_mask(c, n->in[1 - i], PLN_MASK_ADD, 0) &&
            find_product(c, n->in[i], steps))
            return true;
        const char *why = c->why;
        *c = before;
        *c->s = were;
        c->why = why;
    }
    return false;
}

static bool through_where(chain *c, const pln_node *n, int steps)
{
    double fill;
    for (int i = 1; i < 3; i++)
        if (pln_value_is_splat(n->in[3 - i], &fill))
            return add_mask(c, n->in[0], i == 1 ? PLN_MASK_KEEP : PLN_MASK_HIDE, fill) &&
                   find_product(c, n->in[i], steps);
    c->why = "hidden scores are no constant";
    return false;
}

static bool through_tanh(chain *c, const pln_node *n, int steps)
{
    if (c->cap || !(c->factor > 0)) {
        c->why = "a Tanh that is no cap";
        return false;
    }
    c->cap = c->factor;
    c->bare = true;
    return find_product(c, n->in[0], steps);
}

static bool find_product(chain *c, pln_value *v, int steps)
{
    pln_value *x;
    double f;
    pln_node *n = v->def;
    if (!n || steps == 0) {
        c->why = "no product of queries and keys";
        return false;
    }
    if (pln_node_is(n, "MatMul")) {
        c->s->q = n->in[0];
        c->s->kt = n->in[1];
        return true;
    }
    if (pln_node_is(n, "Add"))
        return through_add(c, n, steps - 1);
    if (pln_node_is(n, "Where"))
        return through_where(c, n, steps - 1);
    if (pln_node_is(n, "Tanh"))
        return through_tanh(c, n, steps - 1);
    if (pln_value_is_scaled(v, &x, &f)) {
        c->factor *= f;
        c->bare = true;
        return find_product(c, x, steps - 1);
    }
    c->why = "no product of queries and keys";
    return false;
}

/* ---- softmax --------------------------------------------------------------------- */

static bool is_last_axis(const pln_node *softmax)
{
    const int64_t axis = pln_node_get_int(softmax, "axis", -1);
    const int rank = pln_value_rank(softmax->in[0]);
    return axis == -1 || (rank > 0 && axis == rank - 1);
}

/* Where(IsNaN(p), 0, p) */
static pln_node *behind_guard(pln_node *n)
{
    double zero;
    const pln_node *is_nan = pln_node_is(n, "Where") ? n->in[0]->def : NULL;
    if (!is_nan || !pln_node_is(is_nan, "IsNaN") || is_nan->in[0] != n->in[2] ||
        !pln_value_is_splat(n->in[1], &zero) || zero != 0 || signbit(zero) ||
        !pln_value_same_type(n->in[2], n->out[0]))
        return NULL;
    return n->in[2]->def;
}

static bool find_softmax(pln_value *v, pln_scores *s)
{
    pln_node *n = v->def;
    const bool cast = n && pln_node_is(n, "Cast");
    if (cast)
        n = n->in[0]->def;
    pln_node *inner = n ? behind_guard(n) : NULL;
    s->guarded = inner != NULL;
    n = inner ? inner : n;
    if (!n || !pln_node_is(n, "Softmax"))
        return false;
    s->softmax = n;
    if (!is_last_axis(n))
        return false;
    if (cast)
        s->soft = n->in[0]->type.dtype;
    return true;
}

/* The value whose rows are multiplied by constant weights to give v, as heads or not;
 * NULL. */
static const pln_value *projected_from(const pln_value *v)
{
    static const char *const moves[] = { "Transpose", "Reshape", "Split", "Slice", "Gather",
                                         "Squeeze", "Unsqueeze", "Add", "Mul", "Div" };
    for (int i = 0; i < MAX_STEPS && v->def && !pln_value_is_const(v); i++) {
        const pln_node *n = v->def;
        const bool both = n->n_in > 1 && n->in[1];
        if (pln_node_is(n, "MatMul") || pln_node_is(n, "Gemm"))
            return pln_value_is_const(n->in[1]) ? n->in[0] : NULL;
        size_t k = 0;
        while (k < sizeof moves / sizeof moves[0] && !pln_node_is(n, moves[k]))
            k++;
        const uint32_t at = both && pln_value_is_const(n->in[0]) ? 1 : 0;
        if (k == sizeof moves / sizeof moves[0] ||
            (both && !pln_value_is_const(n->in[1 - at])))
            return NULL;
        v = n->in[at];
    }
    return NULL;
}

/* Finite numbers, or one of two such. */
static bool is_finite_mask(const pln_value *v, int steps)
{
    const pln_tensor *t = pln_value_contents(v);
    const pln_node *n = v->def;
    if (!t)
        return n && steps > 0 && pln_node_is(n, "Where") &&
               is_finite_mask(n->in[1], steps - 1) && is_finite_mask(n->in[2], steps - 1);
    for (int64_t i = 0; i < pln_tensor_size(t); i++)
        if (!isfinite(pln_tensor_get_f64(t, i)))
            return false;
    return pln_dtype_is_float((pln_dtype)t->dtype);
}

/* No row of scores is NaN unless an input is, which then is in the values, too: of one
 * input, and nothing hides all of a row. */
bool pln_scores_guard_is_idle(const pln_scores *s)
{
    const pln_value *x = projected_from(s->q);
    for (int i = 0; i < s->n_masks; i++)
        if (s->mask[i].kind == PLN_MASK_ADD ? !is_finite_mask(s->mask[i].v, 2)
                                            : !isfinite(s->mask[i].fill))
            return false;
    return x && projected_from(s->kt) == x && projected_from(s->v) == x;
}

/* What the softmax reads, in the type of the queries. */
static pln_value *softmax_input(const pln_scores *s)
{
    pln_value *x = s->softmax->in[0];
    if (s->soft == PLN_DT_NONE)
        return x;
    return x->def && pln_node_is(x->def, "Cast") ? x->def->in[0] : NULL;
}

bool pln_scores_of(pln_node *n, pln_scores *s, const char **why)
{
    chain c = { .s = s, .factor = 1 };
    *s = (pln_scores){ .v = n->in[1], .probabilities = n->in[0] };
    if (!find_softmax(n->in[0], s)) {
        *why = "no softmax over the keys";
        return false;
    }
    pln_value *x = softmax_input(s);
    if (!x || !find_product(&c, x, MAX_STEPS)) {
        *why = x ? c.why : "the softmax has another type";
        return false;
    }
    s->scale = c.factor;
    s->cap = c.cap;
    pln_scores_unscale(&s->q, &s->scale);
    if (x->type.dtype != s->q->type.dtype || x->type.dtype != s->v->type.dtype) {
        *why = "scores and values differ in type";
        return false;
    }
    return true;
}

/* ---- keys ------------------------------------------------------------------------ */

static bool has_dims(const pln_value *v, const pln_dim *d, int rank)
{
    if (pln_value_rank(v) != rank)
        return false;
    for (int i = 0; i < rank; i++)
        if (!pln_dim_equal(v->type.shape.dims[i], d[i]))
            return false;
    return true;
}

/* A Transpose between two Reshapes that join the first dimensions and split them
 * again. */
static pln_value *joined_transpose(pln_value *v)
{
    int64_t perm[PLN_MAX_RANK];
    int rank;
    const pln_node *split = v->def;
    const pln_node *t = split && pln_node_is(split, "Reshape") ? split->in[0]->def : NULL;
    if (!t || !pln_node_is(t, "Transpose") || !pln_perm_of(t, perm, &rank) || rank != 3 ||
        perm[0] != 0 || perm[1] != 2 || !t->in[0]->def ||
        !pln_node_is(t->in[0]->def, "Reshape"))
        return NULL;
    pln_value *x = t->in[0]->def->in[0];
    const pln_shape xs = x->type.shape, js = t->in[0]->type.shape;
    if (pln_value_rank(x) != 4 || js.rank != 3 ||
        !pln_dim_equal(xs.dims[2], js.dims[1]) || !pln_dim_equal(xs.dims[3], js.dims[2]))
        return NULL;
    const pln_dim want[4] = { xs.dims[0], xs.dims[1], xs.dims[3], xs.dims[2] };
    return has_dims(v, want, 4) ? x : NULL;
}

/* What v is a transposition of: element i of the shape of v is perm[i] of that. */
static pln_value *untransposed(pln_value *v, int64_t *perm, int rank)
{
    int64_t t[PLN_MAX_RANK], was[PLN_MAX_RANK];
    int r;
    pln_value *x = rank == 4 ? joined_transpose(v) : NULL;
    if (x) {
        for (int i = 0; i < rank; i++)
            perm[i] = perm[i] == 2 ? 3 : perm[i] == 3 ? 2 : perm[i];
        return x;
    }
    if (!v->def || !pln_node_is(v->def, "Transpose") || !pln_perm_of(v->def, t, &r) ||
        r != rank)
        return NULL;
    for (int i = 0; i < rank; i++)
        was[i] = perm[i];
    for (int i = 0; i < rank; i++)
        perm[i] = t[was[i]];
    return v->def->in[0];
}

pln_value *pln_scores_keys_base(pln_scores *s, int64_t *perm)
{
    pln_value *v = s->kt;
    const int rank = pln_value_rank(v);
    for (int i = 0; i < rank; i++)
        perm[i] = i;
    perm[rank - 1] = rank - 2;
    perm[rank - 2] = rank - 1;
    for (int i = 0; i < MAX_STEPS; i++) {
        pln_scores_unscale(&v, &s->scale);
        pln_value *x = untransposed(v, perm, rank);
        if (!x)
            break;
        v = x;
    }
    return v;
}

pln_value *pln_scores_keys(pln_patch *p, pln_scores *s)
{
    int64_t perm[PLN_MAX_RANK];
    const int rank = pln_value_rank(s->kt);
    pln_value *v = pln_scores_keys_base(s, perm);
    return pln_perm_is_identity(perm, rank) ? v : pln_patch_transpose(p, v, perm, rank);
}
