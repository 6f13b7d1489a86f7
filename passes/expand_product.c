/* Bodies of the fused products: the product, then its post-ops one after the other.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/expand.h"

#include <math.h>
#include <string.h>

/* ---- post-ops ------------------------------------------------------------------- */

static pln_value *clip(pln_expand *b, pln_value *x, float lo, float hi)
{
    pln_value *y = lo > -INFINITY ? ex_op2(b, "Max", x, ex_number(b, lo)) : x;
    return hi < INFINITY ? ex_op2(b, "Min", y, ex_number(b, hi)) : y;
}

/* Post-ops that are one operator: with the value alone, or before or behind the operand.
 */
static const struct {
    const char *post, *op;
    int operand; /* 0: none, 1: behind, -1: before */
} plain[] = {
    { "relu", "Relu", 0 },   { "sigmoid", "Sigmoid", 0 },   { "tanh", "Tanh", 0 },
    { "exp", "Exp", 0 },     { "sqrt", "Sqrt", 0 },         { "abs", "Abs", 0 },
    { "neg", "Neg", 0 },     { "softplus", "Softplus", 0 }, { "add", "Add", 1 },
    { "sub", "Sub", 1 },     { "rsub", "Sub", -1 },         { "mul", "Mul", 1 },
    { "div", "Div", 1 },     { "max", "Max", 1 },           { "min", "Min", 1 },
    { "prelu", "PRelu", 1 },
};

static bool takes_operand(const char *post)
{
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (!strcmp(plain[i].post, post))
            return plain[i].operand != 0;
    return false;
}

static pln_value *hard_sigmoid(pln_expand *b, pln_value *x, float alpha, float beta)
{
    return ex_float(b, "HardSigmoid", x, "alpha", alpha, "beta", beta);
}

static pln_value *post_op(pln_expand *b, const char *post, float alpha, float beta,
                          pln_value *x, pln_value *operand)
{
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (strcmp(plain[i].post, post) != 0)
            continue;
        if (!plain[i].operand)
            return ex_op1(b, plain[i].op, x);
        return plain[i].operand > 0 ? ex_op2(b, plain[i].op, x, operand)
                                    : ex_op2(b, plain[i].op, operand, x);
    }
    if (!strcmp(post, "leaky_relu"))
        return ex_float(b, "LeakyRelu", x, "alpha", alpha, NULL, 0);
    if (!strcmp(post, "elu"))
        return ex_float(b, "Elu", x, "alpha", alpha, NULL, 0);
    if (!strcmp(post, "hard_sigmoid"))
        return hard_sigmoid(b, x, alpha, beta);
    if (!strcmp(post, "hard_swish"))
        return ex_op2(b, "Mul", x, hard_sigmoid(b, x, alpha, beta));
    if (!strcmp(post, "swish"))
        return ex_op2(b, "Mul", x, ex_op1(b, "Sigmoid", ex_linear(b, x, alpha, 0)));
    if (!strcmp(post, "mish"))
        return ex_op2(b, "Mul", x, ex_op1(b, "Tanh", ex_op1(b, "Softplus", x)));
    if (!strcmp(post, "gelu") || !strcmp(post, "gelu_tanh"))
        return ex_gelu(b, x, !strcmp(post, "gelu_tanh"));
    if (!strcmp(post, "clip"))
        return clip(b, x, alpha, beta);
    if (!strcmp(post, "linear"))
        return ex_linear(b, x, alpha, beta);
    b->failed = true;
    return NULL;
}

pln_value *ex_posts(pln_expand *b, pln_value *x, uint32_t first)
{
    const pln_node *n = b->node;
    const pln_attr *names = pln_node_find_attr(n, "post");
    const pln_attr *alpha = pln_node_find_attr(n, "post_alpha");
    const pln_attr *beta = pln_node_find_attr(n, "post_beta");
    for (size_t i = 0; names && i < names->n; i++) {
        const bool takes = takes_operand(names->strings[i]);
        if (!alpha || !beta || alpha->n <= i || beta->n <= i ||
            (takes && first >= b->g->n_inputs)) {
            b->failed = true;
            return NULL;
        }
        x = post_op(b, names->strings[i], alpha->floats[i], beta->floats[i], x,
                    takes ? b->g->inputs[first++] : NULL);
    }
    return x;
}

/* ---- products ------------------------------------------------------------------- */

static pln_value *swapped(pln_expand *b, uint32_t i)
{
    int64_t perm[PLN_MAX_RANK];
    const int rank = pln_value_rank(b->node->in[i]);
    if (rank < 2) {
        b->failed = true;
        return NULL;
    }
    for (int k = 0; k < rank; k++)
        perm[k] = k < rank - 2 ? k : k == rank - 2 ? rank - 1 : rank - 2;
    return ex_transpose(b, ex_in(b, i), perm, rank);
}

static pln_value *matmul(pln_expand *b)
{
    const pln_node *n = b->node;
    pln_value *x = pln_node_get_int(n, "transA", 0) ? swapped(b, 0) : ex_in(b, 0);
    pln_value *w = pln_node_get_int(n, "transB", 0) ? swapped(b, 1) : ex_in(b, 1);
    pln_value *y =
        ex_linear(b, ex_op2(b, "MatMul", x, w), pln_node_get_float(n, "alpha", 1), 0);
    if (!ex_in(b, 2))
        return y;
    return ex_op2(b, "Add", y,
                  ex_linear(b, ex_in(b, 2), pln_node_get_float(n, "beta", 1), 0));
}

/* The standard operator of the same name with the same attributes but the post-ops. */
static pln_value *same_product(pln_expand *b, const char *type)
{
    const pln_node *n = b->node;
    pln_node *y = ex_node(b, type, ex_in(b, 0), ex_in(b, 1), ex_in(b, 2));
    for (uint32_t i = 0; y && i < n->n_attrs; i++)
        if (strncmp(n->attrs[i]->name, "post", 4) != 0)
            b->failed |= pln_node_set_attr(y, n->attrs[i]) != PLN_OK;
    return ex_done(b, y);
}

pln_value *ex_product(pln_expand *b)
{
    const char *op = b->node->op_type;
    pln_value *y =
        !strcmp(op, "FusedMatMul") ? matmul(b) : same_product(b, op + strlen("Fused"));
    return ex_posts(b, y, 3);
}
