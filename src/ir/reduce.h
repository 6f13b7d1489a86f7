/* Making a model smaller for as long as somebody finds it interesting.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_REDUCE_H
#define PLN_IR_REDUCE_H

#include "src/ir/graph.h"

typedef struct pln_reducer {
    /* 1: the candidate is interesting, 0: it is not, -1: stop with what there is. */
    int (*ask)(void *user, const pln_model *candidate);
    void *user;
    size_t n_asked, n_kept;
    bool stopped;
    bool minimal; /* no single step of all that were tried makes the model smaller */
} pln_reducer;

/* Replaces *m by the smallest model that was found; it must be interesting itself. */
pln_status pln_model_make_small(pln_model **m, pln_reducer *r, pln_error *err);

#endif
