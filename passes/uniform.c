/* uniform: a tensor of one number, as ConstantOfShape makes it, need not be made where
 * that number does.
 *
 *     Mul(x, Unsqueeze(ConstantOfShape<value=[2]>(..)))  => Mul(x, 2)
 *     BatchNormalization(x, such tensors)                => Add(Mul(x, k), c)
 *     Mul(Add(Mul(x, k), c), m)                          => Add(Mul(x, k m), c m)
 *     Add(Add(x, b), c)                                  => Add(x, b + c)
 *     Add(x, Gather(w, such a tensor))                   => Add(x, a row of w)
 *     Add(Gather(w, i), row)                             => Gather(w + row, i)
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/affine.h"
#include "passes/known.h"

#include <math.h>

#define MAX_DEPTH 16

/* Operators that move elements of their first input about. */
static bool is_movement(const pln_node *n)
{
    static const char *const ops[] = { "Unsqueeze", "Squeeze",   "Reshape", "Expand",
                                       "Flatten",   "Transpose", "Tile",    "Identity" };
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (pln_node_is(n, ops[i]))
            return true;
    return false;
}

static bool is_uniform(const pln_value *v, double *out, int depth);

/* A Where that takes all from one side, which is one number. */
static bool is_uniform_choice(const pln_node *n, double *out, int depth)
{
    double c;
    return pln_node_is(n, "Where") && is_uniform(n->in[0], &c, depth + 1) &&
           is_uniform(n->in[c != 0 ? 1 : 2], out, depth + 1);
}

/* All elements of v, which is computed from constants, are the same number. */
static bool is_uniform(const pln_value *v, double *out, int depth)
{
    if (!v || depth > MAX_DEPTH)
        return false;
    if (pln_value_is_const(v))
        return pln_value_is_splat(v, out);
    if (!v->def || v->slot != 0)
        return false;
    if (is_movement(v->def))
        return is_uniform(v->def->in[0], out, depth + 1);
    if (!pln_node_is(v->def, "ConstantOfShape"))
        return is_uniform_choice(v->def, out, depth);
    const pln_attr *a = pln_node_find_attr(v->def, "value");
    *out = 0;
    if (!a)
        return true;
    if (a->type != PLN_ATTR_TENSOR || a->t->kind != PLN_KIND_TENSOR ||
        pln_tensor_size(a->t) != 1 || pln_tensor_materialize(a->t, NULL) != PLN_OK)
        return false;
    *out = pln_tensor_get_f64(a->t, 0);
    return true;
}

static bool is_made_uniform(const pln_value *v, double *out)
{
    return v && !pln_value_is_const(v) && is_uniform(v, out, 0);
}

/* ---- operands ------------------------------------------------------------------- */

static pln_status operand(pln_match *m, pln_patch *p)
{
    double v;
    for (uint32_t i = 0; i < 2; i++) {
        pln_value *u = m->root->in[i], *other = m->root->in[1 - i];
        if (u == other || !pln_dtype_is_float(u->type.dtype) || !is_made_uniform(u, &v))
            continue;
        if (!pln_value_same_type(other, m->root->out[0]))
            return pln_match_refuse(m, "'%s' makes the result larger", u->name);
        pln_value *in[2] = { other, other };
        in[i] = pln_patch_scalar(p, u->type.dtype, v, u->name);
        pln_node *n = in[i] ? pln_patch_copy(p, m->root, in, 2) : NULL;
        if (!n)
            return PLN_E_NOMEM;
        pln_patch_replace(p, m->root->out[0], n->out[0]);
        return PLN_OK;
    }
    return pln_match_refuse(m, "no operand is made of one number");
}

/* ---- rows of tables -------------------------------------------------------------- */

/* One row for all: the kinds of tokens that nobody tells apart. */
static pln_status one_row(pln_match *m, pln_patch *p)
{
    double v;
    pln_value *x = pln_match_val(m, "x"), *w = pln_match_val(m, "w"), *i = pln_match_val(m, "i");
    if (w->cst->rank != 2 || pln_value_is_const(i) || !pln_value_is_uniform(i, &v))
        return pln_match_refuse(m, "'%s' is not one number", i->name);
    if (!pln_value_same_type(x, m->root->out[0]) || v < -(double)w->cst->dims[0] ||
        v >= (double)w->cst->dims[0])
        return pln_match_refuse(m, "it makes the result larger, or there is no such row");
    pln_value *at = pln_patch_scalar(p, PLN_DT_S64, v, "row");
    pln_value *row = at ? pln_patch_op2(p, "Gather", w, at) : NULL;
    pln_patch_replace(p, m->root->out[0], row ? pln_patch_op2(p, "Add", x, row) : NULL);
    return PLN_OK;
}

/* A session would make another table, where it reads a few rows of one that is there. */
static pln_status into_table(pln_match *m, pln_patch *p)
{
    pln_value *w = pln_match_val(m, "w"), *c = pln_match_val(m, "c");
    const pln_node *g = pln_match_node(m, "g");
    if (m->ctx->options->session)
        return pln_match_refuse(m, "a table costs more than a row");
    if (!pln_value_is_own_weights(w) || w->cst->rank != 2 || c->cst->rank > 1 ||
        (c->cst->rank == 1 && c->cst->dims[0] != 1 &&
         c->cst->dims[0] != w->cst->dims[1]) ||
        pln_value_rank(g->in[1]) < 0)
        return pln_match_refuse(m, "not a table of its own and one row for it");
    pln_value *in[2] = { pln_patch_combine(p, w, '+', c), g->in[1] };
    if (!in[0])
        return pln_match_refuse(m, "not finite");
    pln_node *n = pln_patch_copy(p, g, in, 2);
    pln_patch_replace(p, m->root->out[0], n ? n->out[0] : NULL);
    return PLN_OK;
}

/* ---- batch normalization -------------------------------------------------------- */

static pln_status affine(pln_patch *p, pln_value *x, double mul, double add,
                         pln_value **out)
{
    pln_value *k = pln_patch_scalar(p, x->type.dtype, mul, "scale");
    pln_value *c = pln_patch_scalar(p, x->type.dtype, add, "offset");
    *out = k && c ? pln_patch_op2(p, "Add", pln_patch_op2(p, "Mul", x, k), c) : NULL;
    return *out ? PLN_OK : PLN_E_NOMEM;
}

static pln_status batch_norm(pln_match *m, pln_patch *p)
{
    double v[4];
    pln_value *out, *x = m->root->in[0];
    if (x->type.dtype != PLN_DT_F32 || pln_node_get_int(m->root, "training_mode", 0) ||
        m->root->n_out != 1)
        return pln_match_refuse(m, "it is training, or not float");
    for (uint32_t i = 0; i < 4; i++)
        if (!is_uniform(m->root->in[i + 1], &v[i], 0))
            return pln_match_refuse(m, "its statistics are not one number each");
    const double mul = v[0] / sqrt(v[3] + pln_node_get_float(m->root, "epsilon", 1e-5f));
    if (!isfinite(mul))
        return pln_match_refuse(m, "its variance is not positive");
    PLN_TRY(affine(p, x, mul, v[1] - v[2] * mul, &out));
    pln_patch_replace(p, m->root->out[0], out);
    return PLN_OK;
}

/* ---- chains of numbers ---------------------------------------------------------- */

static bool is_number(const pln_match *m, const char *name, double *out)
{
    const pln_value *v = pln_match_val(m, name);
    return pln_value_rank(v) == 0 && pln_value_is_splat(v, out) && isfinite(*out);
}

static pln_status check_numbers(pln_match *m)
{
    double v;
    if (pln_match_val(m, "x")->type.dtype != PLN_DT_F32)
        return pln_match_refuse(m, "not float");
    if ((pln_match_val(m, "k") && !is_number(m, "k", &v)) || !is_number(m, "c", &v) ||
        !is_number(m, "m", &v))
        return pln_match_refuse(m, "its constants are not one number each");
    return PLN_OK;
}

static pln_status scaled_affine(pln_match *m, pln_patch *p)
{
    double k, c, f;
    pln_value *out;
    is_number(m, "k", &k);
    is_number(m, "c", &c);
    is_number(m, "m", &f);
    PLN_TRY(affine(p, pln_match_val(m, "x"), k * f, c * f, &out));
    pln_patch_replace(p, m->root->out[0], out);
    return PLN_OK;
}

static pln_status sum_of_offsets(pln_match *m, pln_patch *p)
{
    double c, f;
    pln_value *x = pln_match_val(m, "x");
    is_number(m, "c", &c);
    is_number(m, "m", &f);
    pln_value *sum = pln_patch_scalar(p, x->type.dtype, c + f, "offset");
    pln_value *out = sum ? pln_patch_op2(p, "Add", x, sum) : NULL;
    if (!out)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], out);
    return PLN_OK;
}

/* A Sum of two is an Add. */
static pln_status sum_of_two(pln_match *m, pln_patch *p)
{
    pln_value *y = pln_patch_op2(p, "Add", m->root->in[0], m->root->in[1]);
    if (!y)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], y);
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .name = "uniform-operand",
      .match = "Add|Sub|Mul|Div(a, b)",
      .build = operand,
      .contract = PLN_EXACT },
    { .name = "uniform-row",
      .match = "Add~(x, Gather!<axis=0>(w#, i))",
      .build = one_row,
      .contract = PLN_EXACT },
    { .name = "row-into-table",
      .match = "Add~(g=Gather!<axis=0>(w#, _), c#)",
      .build = into_table,
      .contract = PLN_EXACT },
    { .name = "uniform-batch-norm",
      .match = "BatchNormalization(x, s, b, m, v)",
      .build = batch_norm,
      .contract = PLN_REASSOC,
      .opset = 7 },
    { .name = "scaled-affine",
      .match = "Mul~(Add~!(Mul~!(x, k#), c#), m#)",
      .check = check_numbers,
      .build = scaled_affine,
      .contract = PLN_REASSOC },
    { .name = "sum-of-offsets",
      .match = "Add~(Add~!(x, c#), m#)",
      .check = check_numbers,
      .build = sum_of_offsets,
      .contract = PLN_REASSOC },
    { .name = "sum-of-two",
      .match = "Sum(a, b)",
      .build = sum_of_two,
      .contract = PLN_EXACT,
      .opset = 8 },
};

const pln_pass pln_pass_uniform = {
    .name = "uniform",
    .brief = "tensors of one number become that number; chains of numbers one",
    PLN_RULES(rules),
};
