/* The loops of pooling for AVX2.
 * SPDX-License-Identifier: Apache-2.0 */
#define TABLE pool_avx2
#include "kernels/pool_kinds_tmpl.h"
