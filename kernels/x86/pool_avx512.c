/* The loops of pooling for AVX-512.
 * SPDX-License-Identifier: Apache-2.0 */
#define TABLE pool_avx512
#include "kernels/pool_kinds_tmpl.h"
