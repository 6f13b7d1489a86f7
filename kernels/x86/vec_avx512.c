/* The vector loops for AVX-512.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vec.h"

void pln_vec_init_avx512(pln_vec_fns *f)
{
    (void)f;
}
