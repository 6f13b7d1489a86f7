/* What is known of values that are no constants, and small helpers of several passes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_KNOWN_H
#define PLN_PASSES_KNOWN_H

#include "passes/pass.h"

/* All elements are certainly this number, whatever the shape: a constant,
 * ConstantOfShape, and what only moves elements behind them. */
bool pln_value_is_uniform(const pln_value *v, double *out);
/* No element is less than 0 (-0 is none, either); NaN may be. */
bool pln_value_is_positive_or_zero(const pln_value *v);
/* The same but for -0, which there may be. */
bool pln_value_is_not_negative(const pln_value *v);
/* A constant of one element and of rank 0 or 1. */
bool pln_value_is_const_number(const pln_value *v);
/* No element has a fraction. */
bool pln_value_is_integral(const pln_value *v);
/* Could a change of -0 to 0 in v make more than a zero's sign different in a result? */
bool pln_value_shows_zero_sign(const pln_value *v);
/* The tensor of a constant, its data in memory. NULL: no constant, no tensor, or it can't
 * be read. */
const pln_tensor *pln_value_contents(const pln_value *v);
/* A check: `x` is a float, and the result of its type and shape. */
pln_status pln_match_keeps_float(pln_match *m);
/* Somebody needs an output besides the first. */
bool pln_node_has_other_outputs(const pln_node *n);

/* The permutation of a Transpose; false: its rank is not known. */
bool pln_perm_of(const pln_node *n, int64_t *perm, int *rank);
bool pln_perm_is_identity(const int64_t *perm, int rank);
/* A Transpose of v. NULL: no memory. */
pln_value *pln_patch_transpose(pln_patch *p, pln_value *v, const int64_t *perm, int rank);
/* A Reshape of v to these sizes, told 0 where one is that of v and -1 at most once. NULL:
 * they can't be told so. */
pln_value *pln_patch_view(pln_patch *p, pln_value *v, pln_shape to);

/* Axes from a constant, an attribute `axes` or, where both are absent, nothing; counted
 * from the front (rank < 0: none may count from the end), in rising order, up to
 * PLN_MAX_RANK of them. */
bool pln_axes_of(const pln_value *v, int rank, int64_t *axes, size_t *n);
/* The same for a single one. */
bool pln_one_axis_of(const pln_value *v, int rank, int64_t *axis);

#endif
