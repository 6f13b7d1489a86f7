/* QMoE of com.microsoft: MoE whose weights are integers of 2, 3, 4 or 8 bits.
 *
 * As in ONNX Runtime's CPU kernel, shares are the softmax of the chosen experts' logits
 * whatever normalize_routing_weights says (it counts where router_weights are given).
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "kernels/ms_attention.h"
#include "kernels/ms_moe.h"
#include "kernels/nbits.h"

#include <string.h>

#define BITS(field, index)                                                       \
    {                                                                            \
        .name = field, .type = PLN_ATTR_INT, .offset = offsetof(pln_moe_attrs,   \
                                                                fc_bits) +       \
                                                       (index) * sizeof(int64_t) \
    }
static const pln_attr_spec qmoe_spec[] = {
    PLN_MOE_ATTRS(pln_moe_attrs),
    PLN_A_INT(pln_moe_attrs, expert_weight_bits, 4),
    BITS("fc1_expert_weight_bits", PLN_MOE_FC1), /* 0: expert_weight_bits */
    BITS("fc2_expert_weight_bits", PLN_MOE_FC2),
    BITS("fc3_expert_weight_bits", PLN_MOE_FC3),
    PLN_A_INT(pln_moe_attrs, block_size, 0),
    PLN_A_INT(pln_moe_attrs, weights_prepacked, -1),
    PLN_A_INT(pln_moe_attrs, accuracy_level, 0), /* allows less than we compute with */
    PLN_A_STR(pln_moe_attrs, quant_type, "int"),
    PLN_A_END,
};

enum {
    X,
    ROUTER,
    FC1,
    FC1_SCALES,
    FC1_BIAS,
    FC2,
    FC2_SCALES,
    FC2_BIAS,
    FC3,
    FC3_SCALES,
    FC3_BIAS,
    FC1_ZEROS,
    FC2_ZEROS,
    FC3_ZEROS,
    MIX,
    FC1_GLOBAL /* it and the inputs behind it belong to weights of floats */
};

/* An expert's weights as pln_nbits, with scales and zeros of expert 0. */
typedef struct packed {
    pln_nbits fc[3];
    int64_t zero_bytes[3]; /* of an expert */
    float *scales;         /* of the expert at hand */
} packed;

static pln_status product(pln_moe *m, int fc, int64_t e, const float *a, int64_t rows,
                          float *y, pln_error *err)
{
    const packed *q = m->own;
    pln_nbits w = q->fc[fc];
    const pln_tensor *scales = m->c->in[m->w[fc] + 1];
    const int64_t n_scales = w.n * w.blocks;
    w.data += e * w.n * w.row_bytes;
    if (scales->dtype != PLN_DT_F32)
        pln_block_load(PLN_DT_F32, q->scales, scales, e * n_scales, 1, n_scales);
    w.scales = scales->dtype == PLN_DT_F32 ? PLN_DATA(const float, scales) + e * n_scales
                                           : q->scales;
    if (w.zeros)
        w.zeros += e * q->zero_bytes[fc];
    const pln_nbits_job j = { .w = &w, .a = a, .y = y, .m = rows };
    return pln_nbits_product(&j, m->c, m->plain, err);
}

static bool fits(const pln_tensor *t, int64_t a, int64_t b, int64_t c)
{
    return t->rank == 3 && t->dims[0] == a && t->dims[1] == b && t->dims[2] == c;
}

/* Zero points: [experts][n][bytes of a row's blocks], or along n where a row is a
 * block. */
static pln_status find_zeros(const pln_moe *m, packed *q, int fc, pln_error *err)
{
    const uint32_t i = FC1_ZEROS + (uint32_t)fc;
    pln_nbits *w = &q->fc[fc];
    if (!pln_call_has(m->c, i))
        return PLN_OK;
    const pln_tensor *t = m->c->in[i];
    w->zeros_across = m->at->block_size <= 0;
    w->zero_bytes = w->zeros_across ? 0 : (w->blocks * w->bits + 7) / 8;
    q->zero_bytes[fc] =
        w->zeros_across ? (w->n * w->bits + 7) / 8 : w->n * w->zero_bytes;
    w->zeros = PLN_DATA(const uint8_t, t);
    if (pln_tensor_size(t) != m->experts * q->zero_bytes[fc])
        return pln_call_fail(
            m->c, err, PLN_E_RUN,
            "zero points (input %u) do not fit to %lld rows of %lld blocks", i,
            (long long)w->n, (long long)w->blocks);
    return PLN_OK;
}

static pln_status find_matrix(const pln_moe *m, packed *q, int fc, pln_error *err)
{
    const pln_moe_attrs *at = m->at;
    const pln_call *c = m->c;
    pln_nbits *w = &q->fc[fc];
    const int64_t bits = at->fc_bits[fc] ? at->fc_bits[fc] : at->expert_weight_bits;
    const int64_t k = m->k[fc], block = at->block_size > 0 ? at->block_size : k;
    if (bits != 2 && bits != 3 && bits != 4 && bits != 8)
        return pln_call_fail(c, err, PLN_E_RUN, "weights of %lld bits", (long long)bits);
    if (at->block_size > 0 && (block < 16 || (block & (block - 1)) || k % block))
        return pln_call_fail(c, err, PLN_E_RUN, "rows of %lld in blocks of %lld",
                             (long long)k, (long long)block);
    *w = (pln_nbits){ .bits = (int)bits,
                      .n = m->n[fc],
                      .k = k,
                      .block = block > 0 ? block : 1,
                      .blocks = at->block_size > 0 ? k / block : 1,
                      .row_bytes = (k * bits + 7) / 8,
                      .data = PLN_DATA(const uint8_t, c->in[m->w[fc]]) };
    if (!fits(c->in[m->w[fc]], m->experts, w->n, w->row_bytes))
        return pln_call_fail(
            c, err, PLN_E_RUN,
            "weights (input %u) are not %lld experts of %lld rows of %lld "
            "bytes",
            m->w[fc], (long long)m->experts, (long long)w->n, (long long)w->row_bytes);
    if (!pln_call_has(c, m->w[fc] + 1) ||
        pln_tensor_size(c->in[m->w[fc] + 1]) != m->experts * w->n * w->blocks)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "scales (input %u) do not fit to %lld rows of %lld blocks",
                             m->w[fc] + 1, (long long)w->n, (long long)w->blocks);
    return find_zeros(m, q, fc, err);
}

static pln_status check_kind(const pln_call *c, pln_error *err)
{
    const pln_moe_attrs *at = c->attrs;
    if (strcmp(at->quant_type, "int") != 0)
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED,
                             "quant_type '%s' can't be run: int can", at->quant_type);
    if (at->weights_prepacked == 1)
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED,
                             "weights packed for another device (weights_prepacked 1)");
    for (uint32_t i = FC1_GLOBAL; i < FC1_GLOBAL + 6; i++)
        if (pln_call_has(c, i))
            return pln_call_fail(c, err, PLN_E_RUN,
                                 "input %u does not belong to quant_type int", i);
    return PLN_OK;
}

static pln_status find_mix(pln_moe *m, pln_error *err)
{
    if (!pln_call_has(m->c, MIX))
        return PLN_OK;
    if (pln_tensor_size(m->c->in[MIX]) != m->tokens * m->experts)
        return pln_call_fail(m->c, err, PLN_E_RUN,
                             "router_weights do not fit to router_probs");
    return pln_ms_input(m->c, MIX, &m->mix, err);
}

static pln_status qmoe_any(pln_call *c, bool plain, pln_error *err)
{
    packed q = { .scales = NULL };
    int64_t n_scales = 0;
    pln_moe m = { .c = c,
                  .at = c->attrs,
                  .plain = plain,
                  .w = { FC1, FC2, FC3 },
                  .b = { FC1_BIAS, FC2_BIAS, FC3_BIAS },
                  .softmax_of_chosen = true,
                  .product = product,
                  .own = &q };
    PLN_TRY(check_kind(c, err));
    PLN_TRY(pln_moe_find(&m, err));
    for (int fc = 0; fc < 3; fc++) {
        if (!pln_call_has(c, m.w[fc]))
            continue;
        PLN_TRY(find_matrix(&m, &q, fc, err));
        const int64_t n = q.fc[fc].n * q.fc[fc].blocks;
        n_scales = n > n_scales ? n : n_scales;
    }
    PLN_TRY(find_mix(&m, err));
    PLN_TRY(pln_ms_floats(c, n_scales, &q.scales, err));
    return pln_moe_run(&m, err);
}

static pln_status qmoe_ref(pln_call *c, pln_error *err)
{
    return qmoe_any(c, true, err);
}

static pln_status qmoe_run(pln_call *c, pln_error *err)
{
    return qmoe_any(c, false, err);
}

static const pln_impl qmoe_cpu = { "moe_nbits", pln_ms_prepare, qmoe_run, NULL };

const pln_op_desc pln_ops_ms_qmoe[] = {
    { .name = "QMoE",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 6, 21 },
      .out = { 1, 1 },
      .types = "T:float,float16,bfloat16;"
               "S:float,float16,bfloat16,float8e8m0,float8e4m3fn;"
               "W:uint8,float8e4m3fn",
      .sig = "T,T,W,S?,T?,W,S?,T?,W?,S?,T?,W?,W?,W?,T?,"
             "float?,float?,float?,float?,S?,S?->T",
      .attrs = qmoe_spec,
      .attrs_size = sizeof(pln_moe_attrs),
      .infer = pln_infer_same,
      .ref = qmoe_ref,
      .cpu = &qmoe_cpu },
    { .name = NULL },
};
