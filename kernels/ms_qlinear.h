/* Scales and zero points of the QLinear operators of com.microsoft.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_MS_QLINEAR_H
#define PLN_KERNELS_MS_QLINEAR_H

#include "src/ir/op.h"

/* value = (byte - zero) scale */
typedef struct pln_qparam {
    float scale;
    int32_t zero;
} pln_qparam;

/* From inputs `scale` and `zero` (which may be absent: 0); PLN_E_RUN where one is no
 * scalar. */
pln_status pln_qparam_get(const pln_call *c, uint32_t scale, uint32_t zero,
                          pln_qparam *out, pln_error *err);

/* What each of the 256 bytes becomes: out = quantize(fn(dequantize(byte))). */
void pln_q_table(uint8_t table[256], pln_dtype x_dt, pln_qparam from, pln_dtype y_dt,
                 pln_qparam to, float (*fn)(float x, float arg), float arg);
void pln_q_map(const pln_call *c, const uint8_t table[256], const uint8_t *x, uint8_t *y,
               int64_t n);

#endif
