/* factors: factors on both sides of a product, or before and behind it, become one, where
 * the fewest numbers are multiplied.
 *
 *     MatMul(Mul(q, s), Transpose(Mul(k, t))) => MatMul(Mul(q, s t), Transpose(k))
 *     Div(MatMul(Mul(q, s), k), t)            => MatMul(Mul(q, s / t), k)
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"

#include <math.h>

#define MAX_PATH 4

/* The factor before an operand of which the product is the only user. */
typedef struct factor {
    pln_node *n; /* Mul or Div by one number, or Neg; NULL: none */
    double by;
    pln_node *path[MAX_PATH]; /* Transposes between, the last one first */
    int n_path;
} factor;

/* A factor, and the input that it scales. */
static bool read_number(const pln_node *n, uint32_t *slot, double *by)
{
    const bool div = pln_node_is(n, "Div");
    *slot = 0;
    *by = -1;
    if (!div && !pln_node_is(n, "Mul"))
        return pln_node_is(n, "Neg");
    for (uint32_t i = div ? 1 : 0; i < 2; i++) {
        const pln_value *s = n->in[i], *x = n->in[1 - i];
        if (!pln_value_is_const(s) || pln_value_count(s) != 1 ||
            !pln_value_is_splat(s, by) || !isfinite(*by) || *by == 0 ||
            !pln_value_same_type(x, n->out[0]))
            continue;
        *by = div ? 1 / *by : *by;
        *slot = 1 - i;
        return true;
    }
    return false;
}

static factor factor_of(const pln_value *v)
{
    factor f = { .n = NULL };
    uint32_t slot;
    for (; v->def && pln_value_is_single_use(v); v = v->def->in[0]) {
        if (read_number(v->def, &slot, &f.by)) {
            f.n = v->def;
            break;
        }
        if (!pln_node_is(v->def, "Transpose") || f.n_path == MAX_PATH)
            break;
        f.path[f.n_path++] = v->def;
    }
    return f;
}

/* The operand with another factor; 1: with none. */
static pln_value *with_factor(pln_patch *p, const factor *f, double by)
{
    uint32_t slot;
    double old;
    read_number(f->n, &slot, &old);
    pln_value *x = f->n->in[slot];
    if (by != 1) {
        pln_value *s = pln_patch_scalar(p, x->type.dtype, by, "factor");
        x = s ? pln_patch_op2(p, "Mul", x, s) : NULL;
    }
    for (int i = f->n_path - 1; i >= 0 && x; i--) {
        pln_node *t = pln_patch_copy(p, f->path[i], &x, 1);
        x = t ? t->out[0] : NULL;
    }
    return x;
}

/* Neither lost nor too large. Floats of 16 bits have too few digits to round
 * elsewhere. */
static bool is_fit(pln_dtype dt, double by)
{
    return (dt == PLN_DT_F32 || dt == PLN_DT_F64) && fabs(by) > 1e-30 && fabs(by) < 1e30;
}

static bool is_smaller(const pln_value *a, const pln_value *b)
{
    const int64_t n = pln_value_count(a), k = pln_value_count(b);
    return n >= 0 && k >= 0 && n < k;
}

static pln_status of_both(pln_match *m, pln_patch *p)
{
    const pln_node *y = m->root;
    const factor a = factor_of(y->in[0]), b = factor_of(y->in[1]);
    const double by = a.n && b.n ? a.by * b.by : 0;
    if (!by || !is_fit(y->out[0]->type.dtype, by))
        return pln_match_refuse(m, "not a factor on both sides");
    const bool right = is_smaller(y->in[1], y->in[0]);
    pln_value *u = with_factor(p, &a, right ? 1 : by);
    pln_value *v = with_factor(p, &b, right ? by : 1);
    pln_patch_replace(p, y->out[0], u && v ? pln_patch_op2(p, "MatMul", u, v) : NULL);
    return PLN_OK;
}

/* The factor behind goes into that before. */
static pln_status of_result(pln_match *m, pln_patch *p)
{
    uint32_t slot;
    double by;
    const pln_node *y = pln_match_node(m, "y");
    const factor a = factor_of(y->in[0]), b = factor_of(y->in[1]);
    const factor *f = a.n ? &a : &b;
    if (!f->n || !read_number(m->root, &slot, &by) ||
        !is_fit(y->out[0]->type.dtype, by * f->by))
        return pln_match_refuse(m, "no factor before the product");
    pln_value *in[2] = { y->in[0], y->in[1] };
    in[a.n ? 0 : 1] = with_factor(p, f, by * f->by);
    pln_patch_replace(p, m->root->out[0],
                      in[0] && in[1] ? pln_patch_op2(p, "MatMul", in[0], in[1]) : NULL);
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .name = "factor-both",
      .match = "MatMul(a, b)",
      .build = of_both,
      .contract = PLN_REASSOC },
    { .name = "factor-behind",
      .match = "Mul~(y=MatMul!(a, b), s#)",
      .build = of_result,
      .contract = PLN_REASSOC },
    { .name = "factor-behind",
      .match = "Div(y=MatMul!(a, b), s#)",
      .build = of_result,
      .contract = PLN_REASSOC },
};

const pln_pass pln_pass_factors = {
    .name = "factors",
    .brief = "one factor instead of several around a product",
    PLN_RULES(rules),
};
