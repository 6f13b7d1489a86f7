/* fuse-matmul: a MatMul of any rank takes bias, activation, residual and scalars behind
 * it, and scalars and transpositions before it, as planish.FusedMatMul.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/fuse.h"

/* A permutation that swaps the last two dimensions among others: what is left of it moves
 * whole rows, which is cheaper, and the product swaps. */
static pln_status take_inner_swap(pln_patch *p, pln_chain *c)
{
    int64_t perm[PLN_MAX_RANK];
    pln_node *n = c->base[1]->def;
    const pln_attr *a =
        n && pln_node_is(n, "Transpose") ? pln_node_find_attr(n, "perm") : NULL;
    const int rank = a ? (int)a->n : 0;
    if (rank < 3 || rank > PLN_MAX_RANK || a->ints[rank - 2] != rank - 1 ||
        !pln_value_is_single_use(c->base[1]) || n->graph != c->product->graph)
        return PLN_OK;
    for (int i = 0; i < rank; i++)
        perm[i] = a->ints[i];
    perm[rank - 2] = a->ints[rank - 1];
    perm[rank - 1] = rank - 1;
    bool changed;
    pln_node *t = pln_patch_add(p, "Transpose", n->in, 1, 1);
    if (!t || pln_node_set_ints(t, "perm", perm, (size_t)rank) != PLN_OK ||
        pln_node_infer(t, &changed, NULL) != PLN_OK)
        return PLN_E_NOMEM;
    c->base[1] = t->out[0];
    c->trans_b = !c->trans_b;
    c->changed_inputs = true;
    return PLN_OK;
}

static pln_status build(pln_match *m, pln_patch *p)
{
    pln_chain c;
    if (!pln_chain_begin(&c, m->root, "FusedMatMul", -1))
        return pln_match_refuse(m, "not a product of floats");
    pln_chain_take_inputs(&c);
    PLN_TRY(take_inner_swap(p, &c));
    pln_chain_follow(&c);
    return pln_chain_build(m, p, &c);
}

static const pln_rule rules[] = {
    { .match = "MatMul|planish.FusedMatMul(a, b, ...)",
      .build = build,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_PLANISH },
};

const pln_pass pln_pass_fuse_matmul = {
    .name = "fuse-matmul",
    .brief = "MatMul with bias, activation, residual and scalars as one node",
    PLN_RULES(rules),
};
