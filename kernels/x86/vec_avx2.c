/* The vector loops for AVX2 and FMA.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vec.h"

void pln_vec_init_avx2(pln_vec_fns *f)
{
    (void)f;
}
