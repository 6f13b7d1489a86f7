/* Between the files of the validator.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_VALIDATE_IMPL_H
#define PLN_IR_VALIDATE_IMPL_H

#include "src/ir/infer.h"
#include "src/ir/validate.h"

void fault_at_node(pln_faults *f, const pln_node *n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void note_at_node(pln_faults *f, const pln_node *n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* g NULL: the model. */
void fault_at_graph(pln_faults *f, const pln_graph *g, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The operator: whether there is such a one, its arity and attributes. */
void check_node_op(pln_faults *f, pln_node *n);
/* Element types against the row's signature. */
void check_node_types(pln_faults *f, const pln_infer *inf);

#endif
