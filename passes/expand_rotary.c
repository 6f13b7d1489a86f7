/* The body of RotaryEmbedding.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/expand.h"

#include <stdint.h>

static pln_value *slice(pln_expand *b, pln_value *x, int64_t start, int64_t end,
                        int64_t step)
{
    const int64_t last = -1;
    pln_value *in[5] = { x, ex_ints(b, &start, 1), ex_ints(b, &end, 1),
                         ex_ints(b, &last, 1), ex_ints(b, &step, 1) };
    pln_node *n = b->failed ? NULL
                            : pln_graph_add_node(b->g, NULL, "", "Slice", NULL, in,
                                                 step == 1 ? 4 : 5, 1);
    b->failed |= !n;
    return ex_done(b, n);
}

static pln_value *joined(pln_expand *b, pln_value *x, pln_value *y)
{
    pln_node *n = ex_node(b, "Concat", x, y, NULL);
    b->failed |= n && pln_node_set_int(n, "axis", -1) != PLN_OK;
    return ex_done(b, n);
}

static pln_value *unsqueezed(pln_expand *b, pln_value *x, int64_t axis)
{
    return ex_op2(b, "Unsqueeze", x, ex_ints(b, &axis, 1));
}

/* [x1 cos - x2 sin, x1 sin + x2 cos] */
static pln_value *turned(pln_expand *b, pln_value *x, pln_value *cosine, pln_value *sine,
                         int64_t size, bool pairs)
{
    pln_value *x1 = pairs ? slice(b, x, 0, size, 2) : slice(b, x, 0, size / 2, 1);
    pln_value *x2 = pairs ? slice(b, x, 1, size, 2) : slice(b, x, size / 2, size, 1);
    pln_value *c1 = ex_op2(b, "Mul", cosine, x1), *s2 = ex_op2(b, "Mul", sine, x2);
    pln_value *y1 = ex_op2(b, "Sub", c1, s2);
    pln_value *s1 = ex_op2(b, "Mul", sine, x1), *c2 = ex_op2(b, "Mul", cosine, x2);
    pln_value *y2 = ex_op2(b, "Add", s1, c2);
    if (!pairs)
        return joined(b, y1, y2);
    y1 = unsqueezed(b, y1, -1);
    y2 = unsqueezed(b, y2, -1);
    pln_value *y = joined(b, y1, y2);
    return ex_op2(b, "Reshape", y, ex_op1(b, "Shape", x));
}

pln_value *ex_rotary(pln_expand *b)
{
    const pln_node *n = b->node;
    const int rank = pln_value_rank(n->in[0]);
    const int64_t heads = pln_node_get_int(n, "num_heads", 0);
    const int64_t size = pln_node_get_int(n, "rotary_embedding_dim", 0);
    const int64_t split[4] = { 0, 0, heads, -1 };
    pln_value *x = ex_in(b, 0), *c = ex_in(b, 1), *s = ex_in(b, 2);
    if ((rank != 3 && rank != 4) || (rank == 3 && heads < 1) || size < 2) {
        b->failed = true;
        return NULL;
    }
    if (ex_in(b, 3)) {
        c = ex_op2(b, "Gather", c, ex_in(b, 3));
        s = ex_op2(b, "Gather", s, ex_in(b, 3));
    }
    c = unsqueezed(b, c, rank == 4 ? 1 : 2);
    s = unsqueezed(b, s, rank == 4 ? 1 : 2);
    pln_value *h = rank == 3 ? ex_op2(b, "Reshape", x, ex_ints(b, split, 4)) : x;
    pln_value *first = slice(b, h, 0, size, 1);
    pln_value *y = turned(b, first, c, s, size, pln_node_get_int(n, "interleaved", 0));
    y = joined(b, y, slice(b, h, size, INT32_MAX, 1)); /* which may be empty */
    return rank == 3 ? ex_op2(b, "Reshape", y, ex_op1(b, "Shape", x)) : y;
}
