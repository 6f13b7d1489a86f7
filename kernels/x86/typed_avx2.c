/* The loops over many types for AVX2.
 * SPDX-License-Identifier: Apache-2.0 */
#define TABLE pln_typed_avx2
#include "kernels/typed_tmpl.h"
