/* Our own float convolutions.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_CONV_CPU_H
#define PLN_KERNELS_CONV_CPU_H

#include "src/ir/kernel.h"

/* Conv, ConvTranspose and their fused forms, plain layout, constant weights. */
extern const pln_impl pln_impl_conv_f32;

#endif
