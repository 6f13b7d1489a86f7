/* Translation validation: what a patch takes away and what it puts in its place are both
 * run by the reference kernels on the same inputs, and compared by the rule's contract.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_VERIFY_H
#define PLN_PASSES_VERIFY_H

#include "passes/engine.h"

/* ---- cuts: a rewrite by itself (verify_cut.c) -------------------------------------- */

/* The nodes of both sides and the values that they read from outside. A deeper cut
 * reaches further towards the inputs of the graph, so that what the rule knows of the
 * values that it reads is inside. */
typedef struct pln_cut {
    const pln_patch *patch;
    pln_node **node; /* old ones in order, then new ones */
    size_t n_old, n_nodes;
    pln_value **leaf;
    size_t n_leaves;
} pln_cut;

#define PLN_CUT_DEPTHS 5 /* 0: between both sides; 1: and what defines its inputs */

/* Made in the arena. `m` (may be NULL) is the match that the patch comes from. */
pln_status pln_cut_make(pln_cut *c, const pln_patch *p, const pln_match *m, int depth,
                        pln_arena *arena, pln_error *err);
/* The same for equal fragments: operators, attributes, types, all contents of constants.
 * false: it can't be told (bodies, strings). */
bool pln_cut_hash(const pln_cut *c, const pln_rule *rule, uint64_t *out);

/* ---- inputs (verify_feed.c) -------------------------------------------------------- */

/* Kinds of contents. */
typedef enum pln_flavor {
    PLN_FLAVOR_PLAIN,    /* floats around 0 of size 1, integers 0 and 1 */
    PLN_FLAVOR_POSITIVE, /* floats in (0, 2), integers 1 to 4 */
    PLN_FLAVOR_WIDE,     /* floats to 100, integers of one byte */
    PLN_FLAVOR_SPECIAL, /* zeros of both signs, NaN, infinities, denormals among others */
    PLN_FLAVOR_ZERO,
    PLN_FLAVOR_SMALL,   /* integers -2 to 3: indices and axes */
    PLN_FLAVOR_EXTREME, /* largest and smallest; exact rules alone */
    PLN_FLAVOR_COUNT
} pln_flavor;

/* How sizes that are no numbers are chosen, and whether large sizes shrink. */
typedef struct pln_sizes_choice {
    int64_t size;  /* of every symbol and unknown size; -1: a different one for each */
    int rank;      /* where it is unknown */
    /* large sizes that no constant or attribute has become 1: medium, 2: small */
    int shrink;
    const pln_map *pinned; /* sizes (+1) that stay */
} pln_sizes_choice;

const char *pln_flavor_name(pln_flavor f);
/* The contents of a leaf; NULL without error: none can be made, and why. */
pln_status pln_feed_make(const pln_value *v, const pln_sizes_choice *s, pln_flavor f,
                         uint64_t seed, pln_tensor **out, const char **why,
                         pln_error *err);

/* ---- comparing (verify_compare.c) -------------------------------------------------- */

typedef struct pln_judge {
    pln_contract contract;
    double bound;  /* of APPROX */
    double scale;  /* largest finite magnitude met while computing */
    bool wild;     /* infinities or NaN were met */
    bool faint;    /* a result on the way was too small for all its digits */
    bool steps;    /* roundings inside: a flipped level is no fault */
} pln_judge;

/* Element of the first difference that breaks the contract; -1: none; -2: of another type
 * or shape. */
int64_t pln_compare(const pln_tensor *was, const pln_tensor *is, const pln_judge *j);
bool pln_compares(const pln_tensor *t); /* tensors alone */

/* ---- verdicts (verify.c) ----------------------------------------------------------- */

typedef enum pln_verdict {
    PLN_VERDICT_SAME,
    PLN_VERDICT_UNKNOWN, /* could not be run; why says */
    PLN_VERDICT_BROKEN,  /* why has the input that shows it */
    PLN_VERDICT_AGAIN    /* an equal fragment was the same before */
} pln_verdict;

/* Judges a checked patch before it is applied. `why` is always filled. */
pln_status pln_verify_patch(pln_pass_ctx *ctx, const pln_patch *p, const pln_match *m,
                            pln_verdict *out, char *why, size_t size, pln_error *err);
/* Kept for the report. */
pln_status pln_verify_unknown(pln_pass_ctx *ctx, const char *why, pln_error *err);
pln_status pln_verify_refused(pln_pass_ctx *ctx, const pln_node *n, const char *why,
                              pln_error *err);

/* ---- whole graphs, around a pass (verify_pass.c) ----------------------------------- */

/* `*before` (NULL: nobody asks) is the model as it is now. */
pln_status pln_verify_before(pln_pass_ctx *ctx, pln_model **before, pln_error *err);
/* Compares the model with it, and takes it back if the pass broke its contract. */
pln_status pln_verify_after(pln_pass_ctx *ctx, pln_model *before, pln_error *err);

#endif
