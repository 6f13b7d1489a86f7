/* Between the files of the inference driver.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_INFER_IMPL_H
#define PLN_IR_INFER_IMPL_H

#include "src/ir/op.h"

/* Contents of more elements are not followed symbolically. */
#define PLN_SYM_LIMIT 256

/* Symbolic contents of the outputs of inf, by operator; those that the row has set stay.
 * Types of the outputs are known already. */
pln_status pln_symval_eval(pln_infer *inf, pln_error *err);
/* Integer, bool or integral float contents of an input; false: not known. */
bool pln_symval_input(const pln_infer *inf, uint32_t i, pln_symval *out);
/* A tensor of these contents (all known), or NULL. */
pln_tensor *pln_symval_tensor(const pln_allocator *a, const pln_type *type,
                              const pln_symval *s);

#endif
