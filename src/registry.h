/* The registry: who fills it. Look-ups are in src/ir/op.h.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_REGISTRY_H
#define PLN_REGISTRY_H

#include "src/ir/op.h"

/* With all built-in rows. NULL: no memory. */
pln_registry *pln_registry_new(const pln_allocator *a);
void pln_registry_free(pln_registry *r);
/* A later row of the same domain and name takes the place of an earlier one. The row
 * stays the caller's. False: no memory. */
bool pln_registry_add(pln_registry *r, const pln_op_desc *op);

#endif
