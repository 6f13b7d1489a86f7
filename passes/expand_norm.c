/* Bodies of the norms.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/expand.h"

#include <string.h>

/* Over the last dimensions, from the node's `axis`. */
static pln_value *mean(pln_expand *b, pln_value *x)
{
    int64_t axes[PLN_MAX_RANK];
    const int rank = pln_value_rank(b->node->in[0]);
    int64_t axis = pln_node_get_int(b->node, "axis", -1);
    axis = axis < 0 ? -axis : rank - axis;
    if (axis < 1 || axis > PLN_MAX_RANK || (rank >= 0 && axis > rank)) {
        b->failed = true;
        return NULL;
    }
    for (int64_t i = 0; i < axis; i++)
        axes[i] = i - axis;
    return ex_op2(b, "ReduceMean", x, ex_ints(b, axes, axis));
}

/* x divided by the root of its mean square, scaled. */
static pln_value *normalized(pln_expand *b, pln_value *x, uint32_t scale)
{
    const float eps = pln_node_get_float(b->node, "epsilon", 1e-5f);
    pln_value *ms = mean(b, ex_op2(b, "Mul", x, x));
    pln_value *root = ex_op1(b, "Sqrt", ex_op2(b, "Add", ms, ex_number(b, eps)));
    return ex_op2(b, "Mul", ex_op2(b, "Div", x, root), ex_in(b, scale));
}

pln_value *ex_rms_norm(pln_expand *b)
{
    return normalized(b, ex_in(b, 0), 1);
}

pln_value *ex_layer_norm(pln_expand *b)
{
    pln_value *x = ex_in(b, 0);
    pln_value *y = normalized(b, ex_op2(b, "Sub", x, mean(b, x)), 1);
    return ex_in(b, 2) ? ex_op2(b, "Add", y, ex_in(b, 2)) : y;
}

/* Of x + skip + bias, which is the second output. */
pln_value *ex_skip_norm(pln_expand *b)
{
    const bool rms = strcmp(b->node->op_type, "SkipLayerNormalization") != 0;
    pln_value *bias = ex_in(b, rms ? 3 : 4), *beta = rms ? NULL : ex_in(b, 3);
    pln_value *x = ex_op2(b, "Add", ex_in(b, 0), ex_in(b, 1));
    if (bias)
        x = ex_op2(b, "Add", x, bias);
    b->out[1] = x;
    pln_value *y = normalized(b, rms ? x : ex_op2(b, "Sub", x, mean(b, x)), 2);
    return beta ? ex_op2(b, "Add", y, beta) : y;
}

/* Of the sum of rows of tables, which is the second output. */
pln_value *ex_embed_norm(pln_expand *b)
{
    const bool rms = strcmp(b->node->op_type, "EmbedLayerNormalization") != 0;
    pln_value *x = NULL;
    for (uint32_t i = 2; i < b->node->n_in; i += 2) {
        pln_value *t = ex_in(b, i), *index = ex_in(b, i + 1);
        t = index ? ex_op2(b, "Gather", t, index) : t;
        x = x && t ? ex_op2(b, "Add", x, t) : t ? t : x;
    }
    b->out[1] = x;
    pln_value *y = normalized(b, rms ? x : ex_op2(b, "Sub", x, mean(b, x)), 0);
    return ex_in(b, 1) ? ex_op2(b, "Add", y, ex_in(b, 1)) : y;
}

/* One scale for each channel, to be multiplied with [batch, channels, ...]. */
static pln_value *along_channels(pln_expand *b, uint32_t i)
{
    int64_t to[PLN_MAX_RANK];
    const int rank = pln_value_rank(b->node->in[0]);
    b->failed |= rank < 2;
    to[0] = -1;
    for (int d = 1; d + 1 < rank; d++)
        to[d] = 1;
    return rank < 3 ? ex_in(b, i) : ex_op2(b, "Reshape", ex_in(b, i), ex_ints(b, to, rank - 1));
}

pln_value *ex_group_norm(pln_expand *b)
{
    const int64_t groups = pln_node_get_int(b->node, "num_groups", 0);
    const float eps = pln_node_get_float(b->node, "epsilon", 1e-5f);
    pln_value *x = ex_in(b, 0);
    pln_value *r = ex_op2(b, "Reshape", x, ex_ints(b, (int64_t[]){ 0, groups, -1 }, 3));
    pln_value *axes = ex_ints(b, (int64_t[]){ -1 }, 1);
    pln_value *d = ex_op2(b, "Sub", r, ex_op2(b, "ReduceMean", r, axes));
    pln_value *var = ex_op2(b, "ReduceMean", ex_op2(b, "Mul", d, d), axes);
    pln_value *root = ex_op1(b, "Sqrt", ex_op2(b, "Add", var, ex_number(b, eps)));
    pln_value *shape = ex_op1(b, "Shape", x);
    pln_value *n = ex_op2(b, "Reshape", ex_op2(b, "Div", d, root), shape);
    pln_value *scale = along_channels(b, 1);
    pln_value *bias = along_channels(b, 2);
    return ex_op2(b, "Add", ex_op2(b, "Mul", n, scale), bias);
}
