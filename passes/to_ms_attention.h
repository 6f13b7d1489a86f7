/* What the files of to-ms-attention share: an attention with its heads joined.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_TO_MS_ATTENTION_H
#define PLN_PASSES_TO_MS_ATTENTION_H

#include "passes/fuse_attention.h"
#include "passes/to_ms.h"

/* Keys that are hidden from all queries: where flags, [batch, 1, 1, keys], are not true
 * (not false, not 1), `filter` is added to the scores. */
typedef struct pln_ms_key_mask {
    pln_value *flags; /* NULL: all keys are seen */
    enum { PLN_SEEN_TRUE, PLN_SEEN_FALSE, PLN_SEEN_ONE } seen;
    double filter;
} pln_ms_key_mask;

typedef struct pln_ms_attention {
    pln_scores s;
    pln_extent e;
    pln_joined part[3]; /* of queries, keys and values */
    bool joined[3];     /* else [batch, heads, len, dim] as they are in s */
    pln_value *keys;    /* [batch, heads, len, dim], where they are not joined */
    int64_t heads, dim, v_dim;
    pln_node *cache[2]; /* of keys and values; NULL */
    pln_ms_key_mask key;
    double fill;       /* of masks that hide by a finite number; 0 */
    pln_value *mask;   /* of `build`: what is added, of rank 4; NULL */
    pln_value *hidden; /* of `build`: the keys that are seen, int32; NULL */
} pln_ms_attention;

/* Adding the number is like putting it in the place of any finite score. */
bool pln_ms_fill_is_low(double fill);
/* Fills a->s; refused where com.microsoft has no form for the types, or it is read. */
pln_status pln_ms_read_scores(pln_match *m, pln_ms_attention *a);
/* Takes a mask of keys out of a->s. */
void pln_ms_find_key_mask(pln_ms_attention *a);
/* The mask as the operators take it. NULL: p->failed. */
pln_value *pln_ms_key_flags(pln_patch *p, const pln_ms_key_mask *k);

/* One mask that hides by a low number becomes one by -inf; a->fill remembers. */
void pln_ms_find_fill(pln_ms_attention *a);
/* What is added, with a row for each query: [batch or 1, heads or 1, queries, keys]. */
pln_value *pln_ms_added_mask(pln_patch *p, const pln_ms_attention *a);
/* The rule for fewer heads of keys and values. */
pln_status pln_ms_group_query(pln_match *m, pln_patch *p);

/* com.microsoft.Attention where one product with constant weights makes, or can make,
 * queries, keys and values. NULL: none, or p->failed. */
pln_node *pln_ms_attention_packed(pln_patch *p, const pln_ms_attention *a);
/* Rows that are added to queries, keys and values, as one; those without that go on in
 * `in`. NULL: too few. */
pln_value *pln_ms_attention_bias(pln_patch *p, const pln_ms_attention *a, pln_value **in);

#endif
