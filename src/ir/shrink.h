/* Smaller dimensions: a number that is a size somewhere becomes another one everywhere.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_SHRINK_H
#define PLN_IR_SHRINK_H

#include "src/ir/graph.h"

/* The largest size below `limit` of an input or weight of the main graph; 1: there is
 * none. */
int64_t pln_model_size_below(const pln_model *m, int64_t limit);
/* Inputs, outputs and weights that have the size get `to` in its place, weights by their
 * first elements, and so do small integer constants that hold it. Types of other values
 * are forgotten: they follow. */
pln_status pln_model_shrink_size(pln_model *m, int64_t size, int64_t to);

#endif
