/* Quantization arithmetic that products share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_QUANTIZE_H
#define PLN_KERNELS_QUANTIZE_H

#include <planish/planish.h>

/* Lowest and highest value of an integer type. */
void pln_quant_range(pln_dtype dt, float *lo, float *hi);
/* DynamicQuantizeLinear's scale and zero point for values in [lo, hi]. */
void pln_dynamic_scale(float lo, float hi, float *scale, int32_t *zero);

#endif
