/* The fast way of TopK.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_TOPK_H
#define PLN_KERNELS_TOPK_H

#include "src/ir/op.h"

#define PLN_TOPK_SHARES 8 /* of the rows, which threads take one by one */

/* Whether elements of this type have keys. */
bool pln_topk_can(pln_dtype dt);
/* The k first along an axis into outputs 0 and 1, which have their memory. Less than 2^32
 * elements along it unless they have 64 bits. */
pln_status pln_topk_keys(pln_call *c, int axis, int64_t k, bool largest, pln_error *err);

#endif
