/* Products between dequantizers: what integer products need to know of their inputs.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_QDQ_UNIT_H
#define PLN_PASSES_QDQ_UNIT_H

#include "passes/pass.h"

/* uint8 or int8. */
bool pln_is_byte(const pln_value *v);
bool pln_is_one_number(const pln_value *v);
/* The DequantizeLinear that gives v, a float with one scale, or with scales along `axis`
 * (axis < 0: one scale only). NULL: there is none. */
const pln_node *pln_dequantizer(const pln_value *v, int axis);
/* NULL: absent, which is 0. */
pln_value *pln_zero_point(const pln_node *n);
/* The integers that a DequantizeLinear reads as a bias count in steps of the sums: their
 * scales are the products of those of the factors. */
bool pln_bias_counts_in_sums(const pln_node *bias, const pln_value *a_scale,
                             const pln_value *b_scale);
/* Products of any bytes with these constant int8 weights may be added in pairs in 16
 * bits, as ONNX Runtime does where there is no VNNI. Others' are no matter. */
bool pln_fits_pairs(const pln_value *weights);
/* A constant of bytes, from the other end: uint8 128 for int8 0. NULL: no memory. */
pln_value *pln_patch_flip_bytes(pln_patch *p, const pln_value *v);

#endif
