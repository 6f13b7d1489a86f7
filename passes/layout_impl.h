/* What the files about layouts share. SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_LAYOUT_IMPL_H
#define PLN_PASSES_LAYOUT_IMPL_H

#include "passes/layout.h"

/* The map that the trace began with. */
const pln_axmap *pln_follow_anchor(const pln_follow *f);
/* Input `slot` and all outputs lie alike. */
bool pln_follow_alike(pln_follow *f, uint32_t slot);
/* The node's axis, counted from the front. */
bool pln_follow_axis_of(const pln_node *n, int64_t otherwise, int rank, int64_t *axis);
/* The copy's axis is where the node's lies by the map. */
pln_status pln_follow_put_axis(const pln_follow *f, pln_node *copy, int64_t otherwise,
                               const pln_axmap *m);

bool pln_trace_reduce(pln_follow *f);
/* Input 1, where it is there, names axes of input 0. */
pln_status pln_emit_axes(pln_patch *p, const pln_follow *f, pln_value **in,
                         pln_node *copy);
bool pln_trace_arg(pln_follow *f);
pln_status pln_emit_arg(pln_patch *p, const pln_follow *f, pln_value **in,
                        pln_node *copy);
bool pln_trace_squeeze(pln_follow *f);
bool pln_trace_unsqueeze(pln_follow *f);
pln_status pln_emit_unsqueeze(pln_patch *p, const pln_follow *f, pln_value **in,
                              pln_node *copy);
bool pln_trace_gather(pln_follow *f);
pln_status pln_emit_gather(pln_patch *p, const pln_follow *f, pln_value **in,
                           pln_node *copy);
bool pln_trace_slice(pln_follow *f);
pln_status pln_emit_slice(pln_patch *p, const pln_follow *f, pln_value **in,
                          pln_node *copy);
bool pln_trace_pad(pln_follow *f);
pln_status pln_emit_pad(pln_patch *p, const pln_follow *f, pln_value **in,
                        pln_node *copy);
bool pln_trace_row(pln_follow *f);
pln_status pln_emit_row(pln_patch *p, const pln_follow *f, pln_value **in,
                        pln_node *copy);
bool pln_trace_expand(pln_follow *f);
bool pln_trace_resize(pln_follow *f);
pln_status pln_emit_resize(pln_patch *p, const pln_follow *f, pln_value **in,
                           pln_node *copy);

#endif
