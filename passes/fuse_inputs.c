/* What stands before a product of matrices: transpositions and factors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/fuse.h"

#include <math.h>

/* Swaps the last two dimensions and nothing else. */
static bool swaps_last_two(const pln_node *n)
{
    const pln_attr *a = pln_node_find_attr(n, "perm");
    const int rank = a ? (int)a->n : pln_value_rank(n->in[0]);
    if (rank < 2 || (!a && rank != 2))
        return false;
    for (int i = 0; a && i < rank; i++) {
        const int want = i < rank - 2 ? i : i == rank - 2 ? rank - 1 : rank - 2;
        if (a->ints[i] != want)
            return false;
    }
    return true;
}

static bool take_transpose(pln_value **v)
{
    const pln_node *n = (*v)->def;
    if (!n || !pln_node_is(n, "Transpose") || pln_value_is_const(*v) ||
        !swaps_last_two(n))
        return false;
    *v = n->in[0];
    return true;
}

/* A factor before the product, as attention has it. */
static bool take_factor(pln_chain *c, pln_value **v)
{
    double f;
    const pln_node *n = (*v)->def;
    const bool mul = n && pln_node_is(n, "Mul"), div = n && pln_node_is(n, "Div");
    if ((!mul && !div) || !pln_value_is_single_use(*v) || n->graph != c->product->graph)
        return false;
    for (int i = 0; i < (mul ? 2 : 1); i++) {
        if (!pln_value_is_splat(n->in[1 - i], &f) || !pln_value_same_type(n->in[i], *v))
            continue;
        const double alpha = mul ? c->alpha * f : c->alpha / f;
        if (!isfinite(alpha))
            return false;
        c->alpha = (float)alpha;
        *v = n->in[i];
        return true;
    }
    return false;
}

void pln_chain_take_inputs(pln_chain *c)
{
    for (;;) {
        if (take_transpose(&c->base[0]))
            c->trans_a = !c->trans_a;
        else if (take_transpose(&c->base[1]))
            c->trans_b = !c->trans_b;
        else if (!take_factor(c, &c->base[0]) && !take_factor(c, &c->base[1]))
            return;
        c->changed_inputs = true;
    }
}
