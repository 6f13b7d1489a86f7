/* Lowerings of the oneDNN device.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_DNNL_LOWER_H
#define PLN_KERNELS_DNNL_LOWER_H

#include "src/ir/kernel.h"

extern const pln_impl pln_dnnl_conv, pln_dnnl_deconv, pln_dnnl_matmul;

extern const pln_device pln_device_dnnl;

#endif
