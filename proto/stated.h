/* How operators of our own stand in a file: as calls of model-local functions of standard
 * operators, which any runtime can inline.
 *
 * In memory such a node has our operator, its attributes, and the function that states it
 * as its overload. In the file the function's name is that of the operator, "_" and the
 * overload, so that no two functions share a name; its calls give all of its inputs and
 * no attributes; and its doc string is the node in text form, from which it is read back:
 *     planish.FusedMatMul <post: strings = ["relu"], ...> (x0, x1, "", x3)
 * Without the doc string it is a function like any other, and means the same.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PROTO_STATED_H
#define PLN_PROTO_STATED_H

#include "proto/save.h"

/* The node calls the function that states its operator; NULL: it does not. */
const pln_function *pln_stated_by(const pln_node *n);
/* The function states an operator of ours. */
bool pln_function_states(const pln_model *m, const pln_function *f);
/* Inputs, outputs, name and operator of such a call. */
pln_status pln_write_stated_call(pln_saver *s, const pln_node *n);
/* Name, doc string and inputs of such a function. */
pln_status pln_write_stated_head(pln_saver *s, const pln_function *f);

/* After reading: calls of functions that state an operator of ours become that. */
pln_status pln_adopt_stated(pln_model *m, pln_error *err);

#endif
