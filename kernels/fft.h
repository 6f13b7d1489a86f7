/* Discrete Fourier transforms of any length, in double.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_FFT_H
#define PLN_KERNELS_FFT_H

#include "src/util/alloc.h"

typedef struct pln_fft pln_fft;

/* For transforms of n complex numbers; NULL: no memory. */
pln_fft *pln_fft_new(const pln_allocator *a, int64_t n);
void pln_fft_free(pln_fft *f);
/* In place over n pairs (real, imaginary); the inverse is not scaled. */
void pln_fft_run(pln_fft *f, double *v, bool inverse);

#endif
