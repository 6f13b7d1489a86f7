/* Products with constant weights: Conv, ConvTranspose, Gemm and MatMul by a matrix, seen
 * as sums over input channels for each output channel.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_PRODUCT_H
#define PLN_PASSES_PRODUCT_H

#include "passes/affine.h"

typedef struct pln_product {
    pln_node *node;
    pln_value *w, *b; /* b: the bias, constant; NULL: none */
    int64_t n_in, n_out, taps; /* channels, and weights for each pair of them */
    int64_t groups;
    bool in_first; /* the weights' first dimension is that of the input channels */
    bool conv;     /* channels along axis 1, else along the last */
    double alpha, beta;
} pln_product;

/* Own float weights and, where there is one, a constant bias. */
bool pln_product_read(pln_node *n, pln_product *p);
/* The axis of the channels in its input and in its result; their rank must be known. */
int pln_product_axis(const pln_product *p);
/* Each input sample is met by the same sum of weights: no padding. */
bool pln_product_is_unpadded(const pln_product *p);

/* Weights with a factor for each output channel, or for each input channel; the factor of
 * input channel i is mul[i / run]. NULL: not finite. */
pln_value *pln_product_scale_out(pln_patch *patch, const pln_product *p,
                                 const double *mul);
pln_value *pln_product_scale_in(pln_patch *patch, const pln_product *p, const double *mul,
                                int64_t run);
/* What an addend for each input channel comes to in each output channel. */
bool pln_product_sum_in(const pln_product *p, const double *add, int64_t run,
                        double *out);
/* The bias for each output channel; false: it is a matrix. */
bool pln_product_bias(const pln_product *p, double *out);

#endif
