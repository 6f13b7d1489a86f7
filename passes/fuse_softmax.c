/* fuse-softmax: Softmax and LogSoftmax that were spelled out.
 *
 *     Div(e = Exp(x - ReduceMax(x)), ReduceSum(e))    => Softmax(x)
 *     Sub(x, ReduceLogSumExp(x))                      => LogSoftmax(x)
 *
 * A softmax without the maximum is another function: where one element is infinite, it
 * gives 0 for the others, and a Softmax NaN.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"

/* The one axis of `name`; the same as `axis` if there is one already. */
static pln_status read_axis(pln_match *m, const char *name, int64_t *axis, bool *has)
{
    size_t n;
    int64_t a;
    const pln_value *v = pln_match_val(m, name);
    const int rank = pln_value_rank(pln_match_val(m, "x"));
    if (!v)
        return PLN_OK;
    if (!pln_value_get_ints(v, &a, 1, &n) || n != 1)
        return pln_match_refuse(m, "not over one axis");
    if (*has && a != *axis && (rank < 0 || (a - *axis != rank && *axis - a != rank)))
        return pln_match_refuse(m, "maximum and sum over different axes");
    *axis = a;
    *has = true;
    return PLN_OK;
}

static pln_status softmax_of(pln_match *m, pln_patch *p, const char *op)
{
    int64_t axis = -1;
    bool has = false;
    pln_value *x = pln_match_val(m, "x");
    const pln_node *s = pln_match_node(m, "s");
    const int rank = pln_value_rank(x);
    if (s) {
        axis = pln_node_get_int(s, "axis", -1);
        has = true;
        op = s->op_type;
    }
    if (pln_match_val(m, "e") && pln_match_val(m, "e")->n_uses > 2)
        return pln_match_refuse(m, "its exponentials are used elsewhere, too");
    PLN_TRY(read_axis(m, "a", &axis, &has));
    PLN_TRY(read_axis(m, "b", &axis, &has));
    if (!pln_dtype_is_float(x->type.dtype))
        return pln_match_refuse(m, "not a float");
    if (!pln_pass_allows_opset(m->ctx, 13) &&
        (rank < 0 || (axis != -1 && axis != rank - 1)))
        return pln_match_refuse(m, "before version 13 only along the last axis");
    pln_node *n = pln_patch_add(p, op, &x, 1, 1);
    if (!n || pln_node_set_int(n, "axis", axis) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

static pln_status softmax(pln_match *m, pln_patch *p)
{
    return softmax_of(m, p, "Softmax");
}

static pln_status log_softmax(pln_match *m, pln_patch *p)
{
    return softmax_of(m, p, "LogSoftmax");
}

#define RULE(id, pattern, make) \
    { .name = id, .match = pattern, .build = make, .contract = PLN_REASSOC }

#define MAX "ReduceMax<keepdims=1>(x, a#)"
/* The logarithm of the sum of e^p. */
#define LOG_SUM(p)                                                                      \
    "{ReduceLogSumExp<keepdims=1>(" p ", b#) | ReduceLogSum<keepdims=1>(Exp(" p "), b#)" \
    "| Log(ReduceSum<keepdims=1>(Exp(" p "), b#))}"

static const pln_rule rules[] = {
    RULE("softmax",
         "$e = e=Exp(Sub!(x, " MAX ")); $sum = ReduceSum<keepdims=1>(e, b#);"
         "{Div($e, $sum) | Mul~($e, {Reciprocal($sum) | Div(1, $sum)})}",
         softmax),
    { .name = "softmax",
      .match = "Exp(s=LogSoftmax!(x))",
      .replace = "Softmax<axis = s.axis>(x)",
      .contract = PLN_REASSOC },
    RULE("log-softmax",
         "{Sub(d=Sub(x, " MAX "), " LOG_SUM("d") ")"
         "| Sub(x, Add~!(o=" MAX ", " LOG_SUM("Sub(x, o)") "))"
         "| Sub(x, " LOG_SUM("x") ")}",
         log_softmax),
    /* what all have in common is taken away anyhow */
    RULE("softmax-shift", "s=Softmax|LogSoftmax(Sub!(x, " MAX "))", softmax),
};

const pln_pass pln_pass_fuse_softmax = {
    .name = "fuse-softmax",
    .brief = "turns spelled-out softmaxes and their logarithms into one node",
    PLN_RULES(rules),
};
