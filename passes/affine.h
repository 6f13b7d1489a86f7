/* What nodes with constants do to each channel of a value: y = mul x + add.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_AFFINE_H
#define PLN_PASSES_AFFINE_H

#include "passes/known.h"

typedef struct pln_affine {
    int64_t n; /* channels */
    double *mul, *add;
} pln_affine;

/* y = x, for n channels. */
bool pln_affine_new(pln_affine *a, pln_arena *arena, int64_t n);
bool pln_affine_scales(const pln_affine *a); /* some factor is not 1 */
bool pln_affine_shifts(const pln_affine *a); /* some addend is not 0 */

/* BatchNormalization, Neg, or Add, Sub, Mul, Div with a constant operand. */
bool pln_node_is_affine(const pln_node *n);
/* The input of such a node that varies. */
pln_value *pln_affine_input(const pln_node *n);
/* Reads such a node, the channels of whose result lie along `axis` (-1: the same for all
 * elements; a->n stays); the result has the type of its input. */
pln_status pln_affine_read(pln_match *m, const pln_node *n, int axis, int64_t channels,
                           pln_affine *a);
/* The same for input x, where the others may be made of constants, too
 * (passes/made.h). */
pln_status pln_affine_read_of(pln_match *m, const pln_node *n, const pln_value *x,
                              int axis, int64_t channels, pln_affine *a);

/* ---- constants --------------------------------------------------------------------- */

/* `a op b` (+ - * /) with broadcasting, of a's element type. NULL: it would be larger
 * than both, or some number would not be finite, or a factor lost to underflow. */
pln_tensor *pln_tensor_combine(const pln_allocator *alloc, pln_tensor *a, char op,
                               pln_tensor *b);
/* The same of constants, as a new one. */
pln_value *pln_patch_combine(pln_patch *p, const pln_value *a, char op,
                             const pln_value *b);
/* A vector of numbers. NULL: one of them is not finite in that type. */
pln_value *pln_patch_vector(pln_patch *p, pln_dtype dt, const double *v, int64_t n,
                            const char *hint);
/* The same with `ones` dimensions of 1 behind them; one number where all are the same. */
pln_value *pln_patch_channels(pln_patch *p, pln_dtype dt, const double *v, int64_t n,
                              int ones, const char *hint);
/* All numbers are finite in its type; small ones may have become 0. */
bool pln_tensor_is_finite(const pln_tensor *t);

/* Float weights of a product that nobody else uses. */
bool pln_value_is_own_weights(const pln_value *w);

#endif
