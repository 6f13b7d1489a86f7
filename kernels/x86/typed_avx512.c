/* The loops over many types for AVX-512.
 * SPDX-License-Identifier: Apache-2.0 */
#define TABLE pln_typed_avx512
#include "kernels/typed_tmpl.h"
