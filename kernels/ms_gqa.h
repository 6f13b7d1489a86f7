/* GroupQueryAttention: sizes and places of one call, shared by its files.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_MS_GQA_H
#define PLN_KERNELS_MS_GQA_H

#include "kernels/ms_attention.h"

enum {
    PLN_GQA_QUERY,
    PLN_GQA_KEY,
    PLN_GQA_VALUE,
    PLN_GQA_PAST_KEY,
    PLN_GQA_PAST_VALUE,
    PLN_GQA_SEQLENS_K,
    PLN_GQA_TOTAL,
    PLN_GQA_COS,
    PLN_GQA_SIN,
    PLN_GQA_POSITIONS,
    PLN_GQA_BIAS,
    PLN_GQA_SINK,
    PLN_GQA_K_SCALE,
    PLN_GQA_V_SCALE,
    PLN_GQA_Q_NORM,
    PLN_GQA_K_NORM,
    PLN_GQA_QUERY_SEQLENS
};

typedef struct pln_gqa_attrs {
    int64_t num_heads, kv_num_heads, do_rotary, rotary_interleaved, local_window_size;
    int64_t smooth_softmax, causal, qk_output, sliding_window_cache, kv_cache_bit_width;
    float scale, softcap, qk_norm_epsilon, q_norm_epsilon, k_norm_epsilon;
    bool has_q_epsilon, has_k_epsilon;
    int k_quant_type, v_quant_type;
} pln_gqa_attrs;

/* Tokens of one batch entry. */
typedef struct pln_gqa_entry {
    int64_t total;   /* in the cache after this step */
    int64_t now;     /* new ones; the rows after them are padding */
    int64_t past;    /* before it: total - now */
    int64_t base;    /* position of the first row of its keys */
    int64_t evicted; /* rows of the keys that the cache no longer has after this step */
} pln_gqa_entry;

typedef struct pln_gqa {
    pln_call *c;
    const pln_gqa_attrs *at;
    int64_t batch, heads, kv_heads, len, dim;
    int64_t past_rows, rows; /* of past and of present */
    int64_t total_len;       /* total_sequence_length */
    pln_gqa_entry *e;        /* of each batch entry */
    pln_attn_rows q, k, v;   /* the new ones */
} pln_gqa;

/* Finds and checks all sizes. */
pln_status pln_gqa_find(pln_gqa *g, pln_error *err);

#endif
