/* Losses as what they are made of, for their derivatives.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/gradient.h"

#include <string.h>

/* A scalar of the type of the targets. */
static pln_value *target_scalar(pln_grad *t, const pln_value *target, int64_t v)
{
    return gr_scalar(t, target, (double)v);
}

/* The weight of each target: that of its class, 0 for the class to ignore. */
static pln_value *weights_of(pln_grad *t, pln_value *log_p, pln_value *safe,
                             pln_value *ignored, pln_value *weight)
{
    pln_value *one = gr_scalar(t, log_p, 1);
    pln_value *w = weight ? gr_op2(t, "Gather", weight, safe)
                          : gr_op2(t, "Expand", one, gr_op1(t, "Shape", safe));
    return ignored ? gr_op3(t, "Where", ignored, gr_scalar(t, log_p, 0), w) : w;
}

static pln_value *all_of(pln_grad *t, pln_value *v)
{
    pln_node *n = v ? gr_node(t, "ReduceSum", &v, 1, 1) : NULL;
    gr_int(t, n, "keepdims", 0);
    return gr_done(t, n);
}

/* -weight[target] log_p[target], along axis 1. */
static pln_value *likelihood(pln_grad *t, pln_node *n, pln_value *log_p,
                             pln_value *target, pln_value *weight)
{
    const pln_attr *reduction = pln_node_find_attr(n, "reduction");
    const pln_attr *ignore = pln_node_find_attr(n, "ignore_index");
    const char *how =
        reduction && reduction->type == PLN_ATTR_STRING ? reduction->s : "mean";
    const int64_t one = 1;
    pln_value *axis = gr_ints(t, &one, 1), *ignored = NULL, *safe = target;
    if (ignore && ignore->type == PLN_ATTR_INT) {
        ignored = gr_op2(t, "Equal", target, target_scalar(t, target, ignore->i));
        safe = gr_op3(t, "Where", ignored, target_scalar(t, target, 0), target);
    }
    pln_value *in[2] = { log_p, gr_op2(t, "Unsqueeze", safe, axis) };
    pln_node *pick = in[1] ? gr_node(t, "GatherElements", in, 2, 1) : NULL;
    gr_int(t, pick, "axis", 1);
    pln_value *picked = gr_op2(t, "Squeeze", gr_done(t, pick), axis);
    pln_value *w = weights_of(t, log_p, safe, ignored, weight);
    pln_value *loss = gr_op1(t, "Neg", gr_op2(t, "Mul", picked, w));
    if (!strcmp(how, "none"))
        return loss;
    pln_value *sum = all_of(t, loss);
    return strcmp(how, "mean") ? sum : gr_op2(t, "Div", sum, all_of(t, w));
}

pln_value *gr_same_nll(pln_grad *t, pln_node *n, pln_value *const *in)
{
    return likelihood(t, n, in[0], in[1], n->n_in > 2 ? in[2] : NULL);
}

pln_value *gr_same_cross_entropy(pln_grad *t, pln_node *n, pln_value *const *in)
{
    pln_node *s = gr_node(t, "LogSoftmax", in, 1, 1);
    gr_int(t, s, "axis", 1);
    return likelihood(t, n, gr_done(t, s), in[1], n->n_in > 2 ? in[2] : NULL);
}
