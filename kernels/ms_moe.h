/* What MoE and QMoE of com.microsoft share: routing, the order of the products, gates.
 *
 * They compute in float, whatever their type. An operator fills in where its weights lie
 * and how an expert's matrix multiplies rows.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_MS_MOE_H
#define PLN_KERNELS_MS_MOE_H

#include "src/ir/op.h"

typedef struct pln_moe_attrs {
    int64_t k, use_sparse_mixer, normalize_routing_weights, swiglu_fusion;
    int64_t swiglu_limit_after_activation;
    float activation_alpha, activation_beta, swiglu_limit;
    bool has_limit;
    int activation_type;
    int64_t expert_weight_bits, fc_bits[3], block_size, weights_prepacked, accuracy_level;
    const char *quant_type;
} pln_moe_attrs;

#define PLN_MOE_ATTRS(T)                                                               \
    PLN_A_INT(T, k, 1), PLN_A_INT(T, use_sparse_mixer, 0),                             \
        PLN_A_INT(T, normalize_routing_weights, 0), PLN_A_INT(T, swiglu_fusion, 0),    \
        PLN_A_INT(T, swiglu_limit_after_activation, 0),                                \
        PLN_A_FLOAT(T, activation_alpha, 1.0f), PLN_A_FLOAT(T, activation_beta, 0.0f), \
        { .name = "swiglu_limit",                                                      \
          .type = PLN_ATTR_FLOAT,                                                      \
          .offset = offsetof(T, swiglu_limit),                                         \
          .has_offset = offsetof(T, has_limit) },                                      \
        PLN_A_ENUM(T, activation_type, "relu|gelu|silu|swiglu|identity|relu2|geglu",   \
                   "relu")

enum { PLN_MOE_FC1, PLN_MOE_FC2, PLN_MOE_FC3 };

typedef struct pln_moe pln_moe;
struct pln_moe {
    pln_call *c;
    const pln_moe_attrs *at;
    bool plain; /* by the definition */
    bool gated, fused;
    int64_t tokens, hidden, inter, wide, experts; /* wide: columns of fc1 */
    uint32_t w[3], b[3];                          /* inputs: weights and biases */
    int64_t n[3], k[3];                           /* matrix of an expert: [n][k] */
    const float *x, *router, *mix, *bias[3];      /* mix: shares of their own, or NULL */
    bool softmax_of_chosen; /* shares are made of the chosen logits alone */
    /* y[rows][n] = a[rows][k] x W^T, for matrix `fc` of expert e */
    pln_status (*product)(pln_moe *m, int fc, int64_t e, const float *a, int64_t rows,
                          float *y, pln_error *err);
    void *own; /* the operator's */

    float *y, *share; /* share[token][expert] */
    bool *chosen;     /* [token][expert] */
    int64_t *rows;    /* tokens of an expert */
    float *in, *up, *gate, *out, *g, *l;
};

/* Sizes from the inputs; w, b, at and c are there. */
pln_status pln_moe_find(pln_moe *m, pln_error *err);
pln_status pln_moe_run(pln_moe *m, pln_error *err);

#endif
