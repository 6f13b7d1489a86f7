/* What the reference and the float version of Attention share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_ATTENTION_H
#define PLN_KERNELS_ATTENTION_H

#include "src/ir/op.h"

typedef struct pln_attention_attrs {
    int64_t is_causal, q_num_heads, kv_num_heads, softmax_precision,
        qk_matmul_output_mode;
    int64_t left_window_size, right_window_size;
    float scale, softcap;
    bool has_scale;
} pln_attention_attrs;

/* Sizes of one call, checked. */
typedef struct pln_attention {
    int64_t batch, q_heads, kv_heads, q_len, kv_len, past, total, dim, v_dim;
    const int64_t *nonpad; /* keys that count, by batch; NULL: all */
    double scale;
} pln_attention;

pln_status pln_attention_find(const pln_call *c, pln_attention *a, pln_error *err);
/* Heads, length and head size of a tensor of rank 4, or of rank 3 with `heads` heads. */
bool pln_attention_heads(const pln_tensor *t, int64_t heads, int64_t *n, int64_t *len,
                         int64_t *dim);
/* Offset of row i of head h in [batch, heads, len, dim] or [batch, len, heads x dim]. */
int64_t pln_attention_row(const pln_tensor *t, int64_t heads, int64_t b, int64_t h,
                          int64_t i, int64_t len, int64_t dim);
/* How the mask broadcasts: steps of batch, head, query (and key, which is 1). */
pln_status pln_attention_mask(const pln_call *c, const pln_attention *a, int64_t *stride,
                              pln_error *err);
/* Fills the outputs that hold old and new keys and values. */
void pln_attention_present(pln_call *c, const pln_attention *a);

extern const pln_impl pln_attention_cpu;

#endif
