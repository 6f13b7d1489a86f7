/* What binary families share: symbolic contents, and broadcasting before version 7.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_BINARY_H
#define PLN_KERNELS_BINARY_H

#include "src/ir/op.h"

/* Before version 7: attributes `broadcast` and `axis` instead of NumPy's rule. */
extern const pln_version_change pln_versions_broadcast[];
pln_status pln_raise_consumed(pln_node *n, pln_error *err);
pln_status pln_raise_broadcast(pln_node *n, pln_error *err);
pln_status pln_lower_broadcast(pln_node *n, pln_error *err);
/* The second input's dimensions, which met the first's from `axis` on, are aligned with
 * them by an Unsqueeze; fails where the ranks are not known. */
pln_status pln_raise_align_second(pln_node *n, int64_t axis, pln_error *err);
/* Takes the node that it added out again, on saving; how many dimensions it had put
 * behind those of the second input, 0 where there is none. */
int64_t pln_lower_align_second(pln_node *n);
/* Before version 6: an attribute `consumed_inputs` that never changed a result. */
extern const pln_version_change pln_versions_consumed[];

/* Symbolic contents of output 0 from those of all inputs, folded from the left; does
 * nothing where they are not known. */
pln_status pln_infer_fold_sym(pln_infer *inf, pln_dim (*fn)(pln_syms *, pln_dim, pln_dim),
                              pln_error *err);

#endif
