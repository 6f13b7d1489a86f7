/* What the reference and the vector versions of the normalizations share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_NORM_H
#define PLN_KERNELS_NORM_H

#include "kernels/block.h"
#include "src/ir/op.h"

typedef struct pln_norm_attrs {
    int64_t axis, stash_type, num_groups, training_mode;
    float epsilon, momentum;
} pln_norm_attrs;

/* Output that holds 1 / deviation: behind the mean, which an RMS norm has not. */
#define PLN_NORM_INV(rms) ((rms) ? 1u : 2u)

/* `vectors` vectors of n doubles; NULL with the error set. */
double *pln_norm_scratch(pln_call *c, int64_t n, int vectors, pln_error *err);
/* Batch, channels, positions of x. */
pln_axis pln_batch_norm_axis(const pln_tensor *x);
/* The four vectors have one element for each channel. */
pln_status pln_batch_norm_check(const pln_call *c, pln_error *err);

extern const pln_impl pln_layer_norm_cpu, pln_rms_norm_cpu, pln_instance_norm_cpu,
    pln_group_norm_cpu, pln_batch_norm_cpu;

#endif
