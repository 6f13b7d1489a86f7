/* What models and sessions tell about their inputs and outputs.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IO_INFO_H
#define PLN_IO_INFO_H

#include "src/ir/graph.h"

/* How many inputs (initializers that nobody can replace are none) or outputs. */
size_t pln_graph_count_io(const pln_graph *g, pln_io io);
/* Facts about one; arrays are in `arena`, the name is the graph's. */
pln_status pln_graph_io_info(const pln_graph *g, pln_io io, size_t i, pln_arena *arena,
                             pln_io_info *out);

#endif
