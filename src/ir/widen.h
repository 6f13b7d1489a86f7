/* An operator on a larger element type, between casts: for versions of it that do not
 * take the type that it has. SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_WIDEN_H
#define PLN_IR_WIDEN_H

#include "src/ir/op.h"

/* The smallest type that holds all values of `dt` and that the operator takes in version
 * `to` of ai.onnx in all the places where it has dt now; NONE: there is none, or the
 * operator's meaning is bound to the type. */
pln_dtype pln_widen_choose(const pln_node *n, pln_dtype dt, int64_t to);
/* Inputs of type dt are cast to `wide`, and the outputs of that type back, which keep
 * their names. `*first` and `*last` are the ends of the nodes that there are now. */
pln_status pln_widen_node(pln_node *n, pln_dtype dt, pln_dtype wide, pln_node **first,
                          pln_node **last);

#endif
