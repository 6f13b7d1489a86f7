/* Where numbers with fractions become whole ones: sizes, positions, counts.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_WHOLE_H
#define PLN_IR_WHOLE_H

#include "src/ir/graph.h"
#include "src/util/map.h"

/* Puts into the map every Cast of floats to int32 or int64, and the nodes whose results
 * lead there element by element, or by views and reductions: a rounding in them may
 * become a whole step. Bodies are looked at, too. false: no memory. */
bool pln_whole_find(pln_graph *g, pln_map *whole);

#endif
