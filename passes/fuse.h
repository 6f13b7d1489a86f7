/* What the fuse passes share: the chain of nodes behind a product becomes its post-ops.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_FUSE_H
#define PLN_PASSES_FUSE_H

#include "passes/pass.h"

#define PLN_CHAIN_MAX  8 /* post-ops that the fused operators take */
#define PLN_CHAIN_BASE 9 /* inputs before their operands */

typedef struct pln_post {
    const char *name;
    float alpha, beta;
    pln_value *operand; /* NULL: none */
} pln_post;

/* A product under way: what the fused node will be. */
typedef struct pln_chain {
    pln_node *product;
    const char *op;   /* of the planish domain */
    int channel_axis; /* of the bias: 1 for convolutions, -1 for matrices */
    pln_value *base[PLN_CHAIN_BASE]; /* inputs before the operands of post-ops */
    uint32_t n_base, bias_at;        /* how many, and which of them is the bias */
    bool plain;                      /* no attributes alpha, transA and transB */
    float alpha;                     /* of matrix products */
    bool trans_a, trans_b;
    bool changed_inputs; /* something before the product goes in */
    pln_post post[PLN_CHAIN_MAX];
    int n_post;
    int n_taken;    /* nodes behind the product that go in */
    pln_value *out; /* what the chain gives so far */
} pln_chain;

/* Starts from a product or a fused one; false: its types don't allow it. */
bool pln_chain_begin(pln_chain *c, pln_node *product, const char *op, int channel_axis);
/* Starts from the last node of something else, with nothing of it in place. */
void pln_chain_start(pln_chain *c, pln_node *last, const char *op, int channel_axis,
                     uint32_t n_base, uint32_t bias_at);
/* Takes factors, and transpositions of the last two dimensions, before a MatMul. */
void pln_chain_take_inputs(pln_chain *c);
/* Takes the next node behind it; false: that can't go in. */
bool pln_chain_take_next(pln_chain *c);
/* Takes everything behind it that can go in. */
void pln_chain_follow(pln_chain *c);
/* Builds the fused node whatever was taken. */
pln_status pln_chain_emit(pln_patch *p, const pln_chain *c, pln_node **out);
/* Builds the fused node; refuses when nothing was taken. */
pln_status pln_chain_build(pln_match *m, pln_patch *p, const pln_chain *c);

#endif
