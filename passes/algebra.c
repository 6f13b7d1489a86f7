/* algebra: pairs of elementwise operators, and reductions of them, that are one operator.
 *
 *     Mul(x, Reciprocal(y)) => Div(x, y)        Add(Mul(x, u), Mul(z, u)) => Mul(Add(x, z), u)
 *     Sqrt(Mul(x, x))       => Abs(x)           Sqrt(ReduceSum(Mul(x, x))) => ReduceL2(x)
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"

#include <math.h>
#include <string.h>

/* ---- inverses ---------------------------------------------------------------------- */

static pln_status is_not_negative(pln_match *m)
{
    if (!pln_value_is_positive_or_zero(pln_match_val(m, "x")))
        return pln_match_refuse(m, "its input may be negative");
    return PLN_OK;
}

/* ---- sums ------------------------------------------------------------------------- */

/* A sum divided by the number of its addends. */
static pln_status mean(pln_match *m, pln_patch *p)
{
    const pln_node *s = pln_match_node(m, "s");
    const pln_value *x = s->in[0];
    const int rank = pln_value_rank(x);
    int64_t axes[PLN_MAX_RANK];
    size_t n = 0;
    double v, count = 1;
    const pln_value *a = s->n_in > 1 ? s->in[1] : NULL;
    if (rank < 0 || !pln_dtype_is_float(x->type.dtype) ||
        !pln_value_is_splat(pln_match_val(m, "n"), &v) || (a && !pln_axes_of(a, rank, axes, &n)))
        return pln_match_refuse(m, "not a sum over known axes");
    if (a && !n)
        return pln_match_refuse(m, "no axes");
    for (size_t i = 0; i < (n ? n : (size_t)rank); i++) {
        const pln_dim d = x->type.shape.dims[n ? axes[i] : (int64_t)i];
        if (!pln_dim_is_known(d))
            return pln_match_refuse(m, "a size is not known");
        count *= (double)d.value;
    }
    const double want = pln_node_is(m->root, "Div") ? v : 1 / v;
    if (count < 1 || fabs(want - count) > 1e-6 * count)
        return pln_match_refuse(m, "not the number of addends");
    pln_value *in[2] = { s->in[0], s->n_in > 1 ? s->in[1] : NULL };
    pln_node *r = pln_patch_add(p, "ReduceMean", in, in[1] ? 2 : 1, 1);
    if (!r ||
        pln_node_set_int(r, "keepdims", pln_node_get_int(s, "keepdims", 1)) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], r->out[0]);
    return PLN_OK;
}

/* Another reduction of x, over the axes of `s`. */
static pln_status reduce(pln_match *m, pln_patch *p, const char *op)
{
    const pln_node *s = pln_match_node(m, "s");
    pln_value *in[2] = { pln_match_val(m, "x"), s->n_in > 1 ? s->in[1] : NULL };
    if (in[1] && !pln_value_is_const(in[1]))
        return pln_match_refuse(m, "its axes vary");
    if (pln_node_get_int(s, "noop_with_empty_axes", 0))
        return pln_match_refuse(m, "it may reduce nothing");
    if (!pln_dtype_is_float(in[0]->type.dtype))
        return pln_match_refuse(m, "not floats");
    pln_node *n = pln_patch_add(p, op, in, in[1] ? 2 : 1, 1);
    if (!n ||
        pln_node_set_int(n, "keepdims", pln_node_get_int(s, "keepdims", 1)) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

static pln_status sum_square(pln_match *m, pln_patch *p)
{
    return reduce(m, p, "ReduceSumSquare");
}

static pln_status l1(pln_match *m, pln_patch *p)
{
    return reduce(m, p, "ReduceL1");
}

static pln_status l2(pln_match *m, pln_patch *p)
{
    return reduce(m, p, "ReduceL2");
}

static pln_status log_sum(pln_match *m, pln_patch *p)
{
    return reduce(m, p, "ReduceLogSum");
}

static pln_status log_sum_exp(pln_match *m, pln_patch *p)
{
    return reduce(m, p, "ReduceLogSumExp");
}

/* Of what the maximum was taken from. */
static pln_status log_sum_exp_of_max(pln_match *m, pln_patch *p)
{
    int64_t a[PLN_MAX_RANK], b[PLN_MAX_RANK];
    size_t na, nb;
    const int rank = pln_value_rank(pln_match_val(m, "x"));
    if (rank < 0 || !pln_axes_of(pln_match_val(m, "a"), rank, a, &na) || !na ||
        !pln_axes_of(pln_match_val(m, "b"), rank, b, &nb) || na != nb ||
        memcmp(a, b, na * sizeof *a) != 0)
        return pln_match_refuse(m, "maximum and sum over different axes");
    return reduce(m, p, "ReduceLogSumExp");
}

#define TEXT(rule, from, to) \
    { .name = rule, .match = from, .replace = to, .contract = PLN_REASSOC }
#define WHERE(rule, from, condition, to)                                \
    {                                                                   \
        .name = rule, .match = from, .where = condition, .replace = to, \
        .contract = PLN_REASSOC                                         \
    }
#define REDUCE(from, fn) \
    { .name = "reduction", .match = from, .build = fn, .contract = PLN_REASSOC }

/* Two matrices that become one. */
#define OWN_BOTH "same(w, v) and rank(w) == 2 and uses(w) == 1 and uses(v) == 1"

static const pln_rule rules[] = {
    TEXT("neg-sub", "Neg(Sub!(x, z))", "Sub(z, x)"),
    TEXT("quotient", "Mul~(Reciprocal!(x), z)", "Div(z, x)"),
    WHERE("quotient", "Mul~(Div!(1, x), z)", "type(x) == \"float\"", "Div(z, x)"),
    TEXT("quotient", "Div(z, Reciprocal!(x))", "Mul(z, x)"),
    WHERE("quotient", "Div(1, Div!(x, z))", "type(x) == \"float\"", "Div(z, x)"),
    TEXT("quotient", "Reciprocal(Div!(x, z))", "Div(z, x)"),
    TEXT("inverse", "Reciprocal(Reciprocal(x))", "x"),
    TEXT("inverse", "Log(Exp(x))", "x"),
    { .name = "inverse",
      .match = "Exp(Log(x))",
      .check = is_not_negative,
      .replace = "x",
      .contract = PLN_REASSOC },
    { .name = "inverse",
      .match = "Pow(Sqrt(x), 2)",
      .check = is_not_negative,
      .replace = "x",
      .contract = PLN_REASSOC },
    TEXT("root-of-square", "Sqrt(Mul!(x, x))", "Abs(x)"),
    TEXT("root-of-square", "Sqrt(Pow!(x, 2))", "Abs(x)"),
    WHERE("root", "Pow(x, 0.5)", "type(x) == \"float\"", "Sqrt(x)"),
    WHERE("inverse-power", "Pow(x, -1)", "type(x) == \"float\"", "Reciprocal(x)"),
    TEXT("common-factor", "Add~(Mul~!(x, u), Mul~!(z, u))", "Mul(Add(x, z), u)"),
    TEXT("common-factor", "Sub(Mul~!(x, u), Mul~!(z, u))", "Mul(Sub(x, z), u)"),
    TEXT("common-divisor", "Add(Div!(x, u), Div!(z, u))", "Div(Add(x, z), u)"),
    TEXT("common-divisor", "Sub(Div!(x, u), Div!(z, u))", "Div(Sub(x, z), u)"),
    WHERE("constants-of-both", "Add~(Add~!(x, c#), Add~!(z, d#))",
          "(fits(c, d) or fits(d, c)) and not const(x) and not const(z)",
          "Add(Add(x, z), Add(c, d))"),
    WHERE("constants-of-both", "Mul~(Mul~!(x, c#), Mul~!(z, d#))",
          "(fits(c, d) or fits(d, c)) and not const(x) and not const(z)",
          "Mul(Mul(x, z), Mul(c, d))"),
    WHERE("common-operand", "Add(MatMul!(x, w#), MatMul!(x, v#))", OWN_BOTH,
          "MatMul(x, Add(w, v))"),
    WHERE("common-operand", "Sub(MatMul!(x, w#), MatMul!(x, v#))", OWN_BOTH,
          "MatMul(x, Sub(w, v))"),
    WHERE("common-operand", "Add(MatMul!(x, w), MatMul!(z, w))", "same(x, z)",
          "MatMul(Add(x, z), w)"),
    WHERE("common-operand", "Sub(MatMul!(x, w), MatMul!(z, w))", "same(x, z)",
          "MatMul(Sub(x, z), w)"),
    { .name = "mean", .match = "Div(s=ReduceSum!(x, ...), n#)", .build = mean,
      .contract = PLN_REASSOC },
    { .name = "mean", .match = "Mul~(s=ReduceSum!(x, ...), n#)", .build = mean,
      .contract = PLN_REASSOC },
    REDUCE("s=ReduceSum(Mul!(x, x), ...)", sum_square),
    REDUCE("s=ReduceSum(Pow!(x, 2), ...)", sum_square),
    REDUCE("s=ReduceSum(Abs!(x), ...)", l1),
    REDUCE("Sqrt(s=ReduceSumSquare!(x, ...))", l2),
    REDUCE("Pow(s=ReduceSumSquare!(x, ...), 0.5)", l2),
    REDUCE("Log(s=ReduceSum!(Exp!(x), ...))", log_sum_exp),
    REDUCE("Log(s=ReduceSum!(x, ...))", log_sum),
    REDUCE("Add~(s=ReduceMax<keepdims=1>(x, a#), {ReduceLogSumExp!<keepdims=1>(Sub!(x, s), b#)"
           "| Log!(ReduceSum!<keepdims=1>(Exp!(Sub!(x, s)), b#))})",
           log_sum_exp_of_max),
};

const pln_pass pln_pass_algebra = {
    .name = "algebra",
    .brief = "makes one of two elementwise operators, or of those and a reduction",
    PLN_RULES(rules),
};
