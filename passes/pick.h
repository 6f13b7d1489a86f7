/* Picks: values that are places of an axis of another value, in some order.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_PICK_H
#define PLN_PASSES_PICK_H

#include "passes/cut.h"
#include "passes/known.h"

/* Place i of the axis is place at[i] of that axis of x, which has n_x of them. */
typedef struct pln_pick {
    pln_value *x;
    int64_t axis, n, n_x;
    int64_t *at;
} pln_pick;

/* v is a Gather by constant indices, a Slice, a Concat of pieces of one value, or axis 1
 * transposed as a matrix, as a shuffle of channels does it. */
bool pln_pick_read(const pln_value *v, pln_arena *arena, pln_pick *out);

#endif
