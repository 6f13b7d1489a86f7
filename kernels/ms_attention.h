/* What the attention operators of com.microsoft share.
 *
 * They compute in float, whatever their type: other types are converted on the way in and
 * rounded once on the way out. `plain` asks for the reference loops.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_MS_ATTENTION_H
#define PLN_KERNELS_MS_ATTENTION_H

#include "kernels/attention_core.h"
#include "src/ir/op.h"

/* Input i as floats: its own, or a copy until the call ends. */
pln_status pln_ms_input(pln_call *c, uint32_t i, const float **out, pln_error *err);
/* Where floats of output i go: its own memory, or a copy that pln_ms_store() rounds. NULL
 * in *out: not wanted. */
pln_status pln_ms_output(pln_call *c, uint32_t i, float **out, pln_error *err);
void pln_ms_store(pln_call *c, uint32_t i, const float *v);
/* n floats until the call ends. */
pln_status pln_ms_floats(pln_call *c, int64_t n, float **out, pln_error *err);
/* n rows of the sizes of r become [batch][n][heads][dim] with bias[head][dim] added. */
pln_status pln_ms_add_bias(pln_call *c, pln_attn_rows *r, int64_t batch, int64_t heads,
                           int64_t dim, const float *bias, pln_error *err);
/* The cache [batch][heads][rows][dim] that begins with the old ones (of `cache`, whose
 * heads have `cache_rows` rows) and goes on with the new ones. */
void pln_ms_present(float *out, int64_t rows, int64_t batch, int64_t heads, int64_t dim,
                    const pln_attn_rows *old, const pln_attn_rows *now);

/* An attention_bias [batch or 1, heads or 1, q_len, total]. */
pln_status pln_ms_set_bias(pln_call *c, uint32_t i, const pln_attn *a, pln_attn_rows *r,
                           pln_error *err);
/* The masks of Attention and MultiHeadAttention (int32 of many forms) as floats to be
 * added: 0 or `filter`. `past`: keys before query 0. */
pln_status pln_ms_set_mask(pln_call *c, uint32_t i, const pln_attn *a, int64_t past,
                           float filter, pln_attn_rows *r, pln_error *err);
pln_status pln_ms_attend(const pln_attn *a, pln_call *c, bool plain, pln_error *err);

/* An implementation whose run needs no preparation: takes plain layouts. */
pln_status pln_ms_prepare(pln_prep *p, pln_error *err);

/* Shape of output o. */
void pln_ms_infer(pln_infer *inf, uint32_t o, pln_dtype dt, int rank,
                  const pln_dim *dims);

/* Attention and QAttention, from the projection [batch][q_len][q + k + v hidden] on. */
typedef struct pln_ms_self {
    const float *qkv;
    int64_t batch, q_len, heads, hidden, v_hidden; /* hidden: of queries, of keys */
    uint32_t mask, past, bias, past_len;           /* inputs */
    float scale, filter;                           /* scale 0: 1 / sqrt(head size) */
    bool causal, shared; /* shared: present has the size of past */
} pln_ms_self;
pln_status pln_ms_self_attend(pln_call *c, const pln_ms_self *s, bool plain,
                              pln_error *err);
/* Outputs 0 and 1 of such an operator. */
pln_status pln_ms_self_infer(pln_infer *inf, int64_t heads, pln_dim hidden,
                             pln_dim v_hidden, uint32_t past, bool shared, pln_dtype dt,
                             pln_error *err);

#endif
