/* What the files of fuse-attention share: the scores of an attention, taken apart.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_FUSE_ATTENTION_H
#define PLN_PASSES_FUSE_ATTENTION_H

#include "passes/known.h"

#define PLN_MASKS_MAX 4

typedef enum pln_mask_kind {
    PLN_MASK_ADD,  /* floats that are added */
    PLN_MASK_KEEP, /* where false, the score is `fill` */
    PLN_MASK_HIDE  /* where true, it is */
} pln_mask_kind;

typedef struct pln_mask {
    pln_value *v;
    pln_mask_kind kind;
    double fill;
} pln_mask;

/* softmax(masks(cap tanh(scale q k^T / cap))) v, with q, k and v of equal rank. */
typedef struct pln_scores {
    pln_node *softmax;
    pln_value *q, *kt, *v; /* kt: the right operand, dimensions before keys */
    double scale, cap;     /* cap 0: none */
    pln_mask mask[PLN_MASKS_MAX]; /* the last one to act first */
    int n_masks;
    pln_dtype soft; /* the type of the softmax where it is another than q's; NONE */
    bool guarded;   /* NaN became 0 behind the softmax */
    bool causal;    /* a query sees no key behind its own */
    pln_value *probabilities;
} pln_scores;

/* What masks broadcast to: [.., queries, keys]. */
typedef struct pln_extent {
    pln_dim d[4];
    int rank;
} pln_extent;

/* Takes apart the product `n` of probabilities and values. false: it is none, *why
 * says. */
bool pln_scores_of(pln_node *n, pln_scores *s, const char **why);
/* Probabilities or scores that somebody else reads are there anyway. */
bool pln_scores_are_read(const pln_scores *s);
/* What makes 0 of NaN behind the softmax never has to. */
bool pln_scores_guard_is_idle(const pln_scores *s);
/* Do queries, keys, values and masks certainly fit each other as Attention wants it? */
pln_status pln_scores_check(pln_match *m, pln_scores *s, pln_extent *e);
pln_status pln_scores_check_masks(pln_match *m, const pln_scores *s, const pln_extent *e);
/* A constant mask of causal order becomes s->causal. */
void pln_scores_find_order(const pln_pass_ctx *ctx, pln_scores *s, const pln_extent *e);
/* All masks in one: what is added, or what is kept, or -inf where it is not. NULL:
 * none. */
pln_value *pln_scores_mask(pln_patch *p, const pln_scores *s, const pln_extent *e);
/* What the keys are a transposition of: dimension i of [.., keys, dim] is perm[i] of
 * it. */
pln_value *pln_scores_keys_base(pln_scores *s, int64_t *perm);
/* Keys before dimensions, [.., keys, dim], in a patch. NULL: no memory. */
pln_value *pln_scores_keys(pln_patch *p, pln_scores *s);

/* Takes scales by one number and moves that undo each other off *v; the number is
 * multiplied into *scale. */
void pln_scores_unscale(pln_value **v, double *scale);

/* x is c times something, c one number. */
bool pln_value_is_scaled(pln_value *v, pln_value **x, double *c);

/* planish.FusedAttention, for what Attention can't say: sizes that broadcast or are not
 * known to be equal, scores replaced by a finite number, NaN that becomes 0, any mix of
 * layouts. */
bool pln_attention_may_be_own(const pln_patch *p);
pln_status pln_attention_build_own(pln_match *m, pln_patch *p, pln_scores *s);

/* A value [batch, heads, len, dim] that is part `part` of the last dimension of x,
 * [batch, len, parts x heads x dim], or with len before batch. */
typedef struct pln_joined {
    pln_value *x;
    int64_t heads, dim, part, parts;
    bool len_first;
} pln_joined;

bool pln_joined_of(pln_value *v, pln_joined *j);
/* The same of v that a transposition by perm makes so. */
bool pln_joined_under(pln_value *v, const int64_t *perm, pln_joined *j);
/* x, batch before len. */
pln_value *pln_joined_value(pln_patch *p, const pln_joined *j);
/* Three that are the parts of one; or each whole. */
bool pln_joined_together(const pln_joined *j);
/* Their x, or the parts of a new Split. */
bool pln_joined_unpack(pln_patch *p, const pln_joined *j, pln_value **in);
/* The Reshape that joins the heads of y behind a Transpose, if y may come joined;
 * NULL. */
pln_node *pln_join_of(const pln_value *y);
/* Output 0 of new node n takes the place of what `join` gives. */
bool pln_join_replace(pln_patch *p, pln_node *join, pln_node *n);

/* What v repeats, head by head, and its heads; NULL. */
pln_value *pln_unrepeated(pln_patch *p, const pln_value *v, int64_t *heads);

/* Concat(past, new) of rank 4 along the rows; NULL. */
pln_node *pln_cache_of(const pln_value *v);
/* Of keys and of values: do both parts have the same sizes but for the last? */
bool pln_caches_fit(const pln_node *k, const pln_node *v);

/* Queries, keys and values are [batch x heads, len, dim] of [len, batch, heads x dim],
 * and what the product n ends becomes that again. */
bool pln_attention_is_in_batch(pln_value *const *qkv, const pln_node *n);

/* The rules of the passes, by file. */
pln_status pln_attention_check_product(pln_match *m);
pln_status pln_attention_build(pln_match *m, pln_patch *p);
pln_status pln_attention_repeat_build(pln_match *m, pln_patch *p);
pln_status pln_attention_cache_build(pln_match *m, pln_patch *p);
pln_status pln_attention_heads_build(pln_match *m, pln_patch *p);
pln_status pln_attention_sequence_build(pln_match *m, pln_patch *p);
pln_status pln_attention_layout_build(pln_match *m, pln_patch *p);
pln_status pln_attention_packed_build(pln_match *m, pln_patch *p);

#endif
