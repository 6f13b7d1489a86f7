/* reassoc: constants that are added or multiplied one after the other become one, and
 * constant factors go into the constant matrix of a product.
 *
 *     (x + c) + d => x + (c + d)     (x / c) * d => x * (d / c)     (x w) s => x (w s)
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"

#include <math.h>
#include <string.h>

#define MAX_CONSTANT 65536 /* elements */

/* What two operators come to: `op` of x and what `with` makes of both constants. */
typedef struct pair {
    const char *outer, *inner, *op, *with;
    bool swapped; /* the outer constant is the first operand of `with` */
} pair;

static const pair pairs[] = {
    { "Add", "Add", "Add", "Add", false }, { "Add", "Sub", "Add", "Sub", true },
    { "Sub", "Add", "Add", "Sub", false }, { "Sub", "Sub", "Sub", "Add", false },
    { "Mul", "Mul", "Mul", "Mul", false }, { "Mul", "Div", "Mul", "Div", true },
    { "Div", "Mul", "Mul", "Div", false }, { "Div", "Div", "Div", "Mul", false },
};

static bool is_finite(const pln_value *v)
{
    pln_tensor *t = v->cst;
    if (pln_tensor_size(t) > MAX_CONSTANT || pln_tensor_materialize(t, NULL) != PLN_OK)
        return false;
    for (int64_t i = 0; i < pln_tensor_size(t); i++) {
        const double d = pln_tensor_get_f64(t, i);
        if (!isfinite(d) || (d != 0 && fabs(d) < 1e-30))
            return false;
    }
    return true;
}

static bool has_zero(const pln_value *v)
{
    for (int64_t i = 0; i < pln_tensor_size(v->cst); i++)
        if (pln_tensor_get_f64(v->cst, i) == 0)
            return true;
    return false;
}

static const pair *pair_of(const pln_match *m)
{
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (pln_node_is(m->root, pairs[i].outer) &&
            pln_node_is(pln_match_node(m, "inner"), pairs[i].inner))
            return &pairs[i];
    return NULL;
}

static pln_status one_constant(pln_match *m, pln_patch *p)
{
    pln_value *x = pln_match_val(m, "x"), *c = pln_match_val(m, "c"),
              *d = pln_match_val(m, "d");
    const pair *k = pair_of(m);
    if (!k || pln_value_is_const(x) || !pln_dtype_is_float(x->type.dtype))
        return pln_match_refuse(m, "not floats");
    if (!is_finite(c) || !is_finite(d))
        return pln_match_refuse(m, "large constants, or no finite numbers");
    if (!pln_value_broadcasts_into(c, d) && !pln_value_broadcasts_into(d, c))
        return pln_match_refuse(m, "together they are larger than each");
    if (*k->outer != 'A' && *k->outer != 'S' && (has_zero(c) || has_zero(d)))
        return pln_match_refuse(m, "a factor is 0");
    pln_value *both =
        k->swapped ? pln_patch_op2(p, k->with, d, c) : pln_patch_op2(p, k->with, c, d);
    pln_patch_replace(p, m->root->out[0], pln_patch_op2(p, k->op, x, both));
    return PLN_OK;
}

/* ---- factors of products --------------------------------------------------------- */

static bool is_own_matrix(const pln_value *w)
{
    return pln_value_rank(w) == 2 && w->n_uses == 1 &&
           pln_dtype_is_float(w->type.dtype) && w->kind != PLN_VALUE_INPUT;
}

/* One number, or one for each column. */
static bool scales_columns(const pln_value *s, const pln_value *w)
{
    const int64_t n = pln_value_count(s);
    return n == 1 ? pln_value_rank(s) <= 2
                  : pln_value_rank(s) == 1 && pln_dim_is(w->type.shape.dims[1], n);
}

static pln_status factor_behind(pln_match *m, pln_patch *p)
{
    pln_value *x = pln_match_val(m, "x"), *w = pln_match_val(m, "w"),
              *s = pln_match_val(m, "s");
    if (!is_own_matrix(w) || !is_finite(s) || has_zero(s) || !scales_columns(s, w) ||
        !pln_value_same_type(m->root->out[0], pln_match_val(m, "y")))
        return pln_match_refuse(m, "not a factor for the columns of a matrix of its own");
    pln_value *scaled = pln_patch_op2(p, m->root->op_type, w, s);
    pln_patch_replace(p, m->root->out[0], pln_patch_op2(p, "MatMul", x, scaled));
    return PLN_OK;
}

/* One number, or one for each row: the columns of x. */
static pln_status factor_before(pln_match *m, pln_patch *p)
{
    static const int64_t column[2] = { -1, 1 };
    pln_value *x = pln_match_val(m, "x"), *w = pln_match_val(m, "w"),
              *s = pln_match_val(m, "s");
    const pln_node *f = pln_match_node(m, "f");
    const int64_t n = pln_value_count(s);
    if (!is_own_matrix(w) || !is_finite(s) || has_zero(s) ||
        !pln_value_same_type(x, f->out[0]) || pln_value_rank(s) > 1 ||
        (n != 1 && !pln_dim_is(w->type.shape.dims[0], n)))
        return pln_match_refuse(m, "not a factor for the rows of a matrix of its own");
    if (n != 1)
        s = pln_patch_op2(p, "Reshape", s, pln_patch_ints(p, column, 2, "column"));
    pln_value *scaled = s ? pln_patch_op2(p, f->op_type, w, s) : NULL;
    pln_patch_replace(p, m->root->out[0], pln_patch_op2(p, "MatMul", x, scaled));
    return PLN_OK;
}

/* Where the product of both is no larger than they are. */
static pln_status one_matrix(pln_match *m, pln_patch *p)
{
    pln_value *v = pln_match_val(m, "v"), *w = pln_match_val(m, "w");
    if (!is_own_matrix(v) || !is_own_matrix(w))
        return pln_match_refuse(m, "not two matrices of their own");
    const int64_t k = v->cst->dims[0], n = w->cst->dims[1];
    if (k > INT32_MAX || n > INT32_MAX ||
        k * n > pln_tensor_size(v->cst) + pln_tensor_size(w->cst))
        return pln_match_refuse(m, "their product is larger");
    pln_value *both = pln_patch_op2(p, "MatMul", v, w);
    pln_patch_replace(p, m->root->out[0],
                      pln_patch_op2(p, "MatMul", pln_match_val(m, "x"), both));
    return PLN_OK;
}

/* ---- quotients -------------------------------------------------------------------- */

static pln_status one_quotient(pln_match *m, pln_patch *p)
{
    pln_value *y = pln_match_val(m, "y");
    if (!pln_dtype_is_float(y->type.dtype))
        return pln_match_refuse(m, "not floats");
    pln_patch_replace(p, m->root->out[0],
                      pln_patch_op2(p, "Div", y, pln_match_val(m, "x")));
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .name = "add-add",
      .match = "Add~(inner=Add~!(x, c#), d#)",
      .build = one_constant,
      .contract = PLN_REASSOC },
    { .name = "add-sub",
      .match = "Add~(inner=Sub!(x, c#), d#)",
      .build = one_constant,
      .contract = PLN_REASSOC },
    { .name = "sub-add",
      .match = "Sub(inner=Add~!(x, c#), d#)",
      .build = one_constant,
      .contract = PLN_REASSOC },
    { .name = "sub-sub",
      .match = "Sub(inner=Sub!(x, c#), d#)",
      .build = one_constant,
      .contract = PLN_REASSOC },
    { .name = "mul-mul",
      .match = "Mul~(inner=Mul~!(x, c#), d#)",
      .build = one_constant,
      .contract = PLN_REASSOC },
    { .name = "mul-div",
      .match = "Mul~(inner=Div!(x, c#), d#)",
      .build = one_constant,
      .contract = PLN_REASSOC },
    { .name = "div-mul",
      .match = "Div(inner=Mul~!(x, c#), d#)",
      .build = one_constant,
      .contract = PLN_REASSOC },
    { .name = "div-div",
      .match = "Div(inner=Div!(x, c#), d#)",
      .build = one_constant,
      .contract = PLN_REASSOC },
    { .name = "scale-behind",
      .match = "Mul~(y=MatMul!(x, w#), s#)",
      .build = factor_behind,
      .contract = PLN_REASSOC },
    { .name = "scale-behind",
      .match = "Div(y=MatMul!(x, w#), s#)",
      .build = factor_behind,
      .contract = PLN_REASSOC },
    { .name = "scale-before",
      .match = "MatMul(f=Mul~!(x, s#), w#)",
      .build = factor_before,
      .contract = PLN_REASSOC },
    { .name = "scale-before",
      .match = "MatMul(f=Div!(x, s#), w#)",
      .build = factor_before,
      .contract = PLN_REASSOC },
    { .name = "matmul-matmul",
      .match = "MatMul(MatMul!(x, v#), w#)",
      .build = one_matrix,
      .contract = PLN_REASSOC },
    { .name = "quotient",
      .match = "Mul~(Div!(1, x), y)",
      .build = one_quotient,
      .contract = PLN_REASSOC },
};

const pln_pass pln_pass_reassoc = {
    .name = "reassoc",
    .brief = "gathers constant addends and factors, also into constant matrices",
    PLN_RULES(rules),
};
