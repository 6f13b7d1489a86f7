/* Operators of com.microsoft on tensors [N, spatial..., C], by kernels that know [N, C,
 * spatial...]: inference, plans and calls with the channels moved.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_NHWC_H
#define PLN_KERNELS_NHWC_H

#include "src/ir/op.h"

#define PLN_NHWC_MAX_IN 10

/* `inner` for inputs whose bits are set in `mask` and output 0 with the channels second.
 */
pln_status pln_nhwc_infer(pln_infer *inf, uint32_t mask,
                          pln_status (*inner)(pln_infer *, pln_error *), pln_error *err);
/* The same tensor seen as [N, C, spatial...] with layout channels-last: the same bytes.
 */
pln_tensor pln_nhwc_view(const pln_tensor *t);
/* Runs `inner` on transposed copies. */
pln_status pln_nhwc_run(pln_call *c, uint32_t mask, pln_kernel_fn inner, pln_error *err);

/* An implementation that wraps `inner`; to be called from a pln_impl's functions. */
pln_status pln_nhwc_prepare(pln_prep *p, uint32_t mask, const pln_impl *inner,
                            pln_error *err);

#endif
