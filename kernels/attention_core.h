/* softmax(scale Q K^T + bias) V in float: the core of all attention operators.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_ATTENTION_CORE_H
#define PLN_KERNELS_ATTENTION_CORE_H

#include "src/ir/kernel.h"

/* Rows of floats: row i of head h of batch b lies at p + b batch + h head + i row. */
typedef struct pln_attn_rows {
    const float *p;
    int64_t batch, head, row;
    int64_t n; /* of keys and values: how many */
} pln_attn_rows;

/* One byte for each score, lying like pln_attn_rows. */
typedef struct pln_attn_flags {
    const uint8_t *p;
    int64_t batch, head, row;
} pln_attn_flags;

/* Which steps of the scores an operator gives out. */
typedef enum pln_attn_stage {
    PLN_ATTN_SCALED,
    PLN_ATTN_CAPPED,
    PLN_ATTN_BIASED,
    PLN_ATTN_SOFTMAX
} pln_attn_stage;

typedef struct pln_attn {
    int64_t batch, q_heads, kv_heads, q_len, dim, v_dim;
    int64_t total; /* keys: those of both parts */
    pln_attn_rows q;
    pln_attn_rows k[2], v[2]; /* old ones and new ones */
    float *y;
    int64_t y_batch, y_head, y_row;
    float scale, softcap; /* softcap 0: none */
    /* Added to the scores: one float for each of the first `n` keys, by query head; -inf
     * for the keys after them. p NULL: nothing. */
    pln_attn_rows bias[2];
    /* Where a flag says so (by `hides`: is not 0, else: is 0), the score, bias and all,
     * becomes `fill`. p NULL: nowhere. */
    pln_attn_flags flags;
    bool hides;
    float fill;
    bool zero_nan; /* a query with a NaN among its probabilities gives zeros */
    /* Query i of batch b sees the keys [*first, *end) alone; NULL: all. */
    void (*range)(const void *user, int64_t b, int64_t i, int64_t *first, int64_t *end);
    const void *user;
    const float
        *sink; /* of each query head: its exp counts in the sum of softmax; NULL */
    float *qk; /* [batch][q_heads][q_len][total], NULL */
    pln_attn_stage qk_stage;
} pln_attn;

/* A query that sees no key gives zeros. */
pln_status pln_attn_ref(const pln_attn *a, pln_call *c, pln_error *err);
/* The same by the vector loops, on the threads of the call. */
pln_status pln_attn_run(const pln_attn *a, pln_call *c, pln_error *err);

/* ---- between the files of the core ----------------------------------------------- */

/* Keys that query i of batch b sees, within [0, total). */
void pln_attn_range(const pln_attn *a, int64_t b, int64_t i, int64_t *first,
                    int64_t *end);
/* Many queries at a time; PLN_E_UNSUPPORTED where that is no gain or not built. */
pln_status pln_attn_blocks(const pln_attn *a, pln_call *c, pln_error *err);

#endif
