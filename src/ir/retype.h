/* Constants in another float type.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_RETYPE_H
#define PLN_IR_RETYPE_H

#include "src/ir/tensor.h"

typedef struct pln_retyped {
    int64_t clamped;   /* finite numbers that were out of range: now the largest ones */
    int64_t underflow; /* numbers that were too small: now 0, in a scalar the least one */
} pln_retyped;

pln_status pln_tensor_retype(pln_tensor *t, pln_dtype to, pln_tensor **out,
                             pln_retyped *what, pln_error *err);

#endif
