/* What a fused product does to its result before it is stored.
 *
 * planish.FusedMatMul(A, B, bias?, operand...), planish.FusedGemm(A, B, C?, operand...),
 * planish.FusedConv(X, W, B?, operand...) and planish.FusedConvTranspose likewise carry,
 * beside the attributes of the standard operator, three lists of equal length:
 *     post        strings: names of the table below
 *     post_alpha  floats
 *     post_beta   floats
 * Post-ops apply in order to the product with its bias; each binary one takes the next
 * operand input, which broadcasts to the output without growing it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_POSTOP_H
#define PLN_KERNELS_POSTOP_H

#include "src/ir/op.h"

/* name: enumerator, name in the attribute, binary? */
#define PLN_POSTOPS(X)                                                        \
    X(RELU, "relu", 0)             /* max(x, 0) */                            \
    X(LEAKY_RELU, "leaky_relu", 0) /* x < 0 ? alpha x : x */                  \
    X(CLIP, "clip", 0)             /* min(max(x, alpha), beta) */             \
    X(SIGMOID, "sigmoid", 0)                                                  \
    X(TANH, "tanh", 0)                                                        \
    X(GELU, "gelu", 0)             /* x/2 (1 + erf(x / sqrt 2)) */            \
    X(GELU_TANH, "gelu_tanh", 0)                                              \
    X(SWISH, "swish", 0)           /* x sigmoid(alpha x) */                   \
    X(HARD_SIGMOID, "hard_sigmoid", 0) /* max(0, min(1, alpha x + beta)) */   \
    X(HARD_SWISH, "hard_swish", 0) /* x max(0, min(1, alpha x + beta)) */     \
    X(ELU, "elu", 0)               /* x < 0 ? alpha (e^x - 1) : x */          \
    X(SOFTPLUS, "softplus", 0)                                                \
    X(MISH, "mish", 0)                                                        \
    X(EXP, "exp", 0)                                                          \
    X(SQRT, "sqrt", 0)                                                        \
    X(ABS, "abs", 0)                                                          \
    X(NEG, "neg", 0)                                                          \
    X(LINEAR, "linear", 0)         /* alpha x + beta */                       \
    X(ADD, "add", 1)                                                          \
    X(SUB, "sub", 1)               /* x - operand */                          \
    X(RSUB, "rsub", 1)             /* operand - x */                          \
    X(MUL, "mul", 1)                                                          \
    X(DIV, "div", 1)               /* x / operand */                          \
    X(MAX, "max", 1)                                                          \
    X(MIN, "min", 1)                                                          \
    X(PRELU, "prelu", 1)           /* x < 0 ? operand x : x */

typedef enum pln_postop_kind {
#define X(e, name, binary) PLN_POST_##e,
    PLN_POSTOPS(X)
#undef X
    PLN_POST_COUNT
} pln_postop_kind;

typedef struct pln_postop {
    pln_postop_kind kind;
    float alpha, beta;
    int operand; /* index of the node input of a binary one; -1 */
} pln_postop;

#define PLN_POSTOPS_MAX 8

typedef struct pln_postop_list {
    pln_postop op[PLN_POSTOPS_MAX];
    int n;
} pln_postop_list;

/* The attributes as every fused op's struct ends with them. */
typedef struct pln_postop_attrs {
    pln_strings post;
    pln_floats post_alpha, post_beta;
} pln_postop_attrs;

/* Their specs; `field` is the pln_postop_attrs in the op's struct. */
#define PLN_A_POSTOPS(st, field)                                                      \
    { .name = "post", .type = PLN_ATTR_STRINGS, .offset = offsetof(st, field.post) }, \
    { .name = "post_alpha", .type = PLN_ATTR_FLOATS,                                  \
      .offset = offsetof(st, field.post_alpha) },                                     \
    { .name = "post_beta", .type = PLN_ATTR_FLOATS,                                   \
      .offset = offsetof(st, field.post_beta) }

/* first_operand: index of the first operand input (3 for the ops above). Fails with
 * PLN_E_FORMAT on unknown names, uneven lists or missing operands. */
pln_status pln_postops_parse(const pln_node *n, const pln_postop_attrs *attrs,
                             int first_operand, pln_postop_list *out, pln_error *err);
const char *pln_postop_name(pln_postop_kind kind);
bool pln_postop_kind_of(const char *name, pln_postop_kind *out);
bool pln_postop_is_binary(pln_postop_kind kind);
/* One value; `operand` for the binary ones. The definition of each. */
float pln_postop_apply(const pln_postop *op, float x, float operand);
/* All of them over a finished float output in place (plain layout): the reference. */
pln_status pln_postops_apply(const pln_call *c, const pln_postop_list *list,
                             pln_tensor *out, pln_error *err);

#endif
