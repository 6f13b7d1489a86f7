/* Slices and splits with constant bounds: which part of a value a value is.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_CUT_H
#define PLN_PASSES_CUT_H

#include "passes/match.h"

/* Of one axis; steps are positive. An end past INT32_MAX is no end. */
typedef struct pln_cut {
    bool on;
    int64_t start, end, step;
} pln_cut;

/* Size along an axis; -1: not known. */
int64_t pln_value_size_at(const pln_value *v, int64_t axis);
/* Attribute `axis`, counted from the front of v's dimensions; false: not known. */
bool pln_node_axis(const pln_node *n, const pln_value *v, int64_t *axis);
/* The cuts of a Slice, by axis (PLN_MAX_RANK of them); false: bounds not known, or it
 * goes backwards. */
bool pln_slice_read(const pln_node *n, pln_cut *cuts);
/* Positions counted from the front, within the axis; false: its size is needed and not
 * known. */
bool pln_cut_settle(pln_cut *c, int64_t size);

/* `size` elements of `of` along one axis: start, start + step, ... */
typedef struct pln_piece {
    pln_value *of;
    int64_t axis, start, size, step;
} pln_piece;

/* v is a Slice along one axis, or an output of a Split, at known places. */
bool pln_piece_of(const pln_value *v, pln_piece *out);

#endif
