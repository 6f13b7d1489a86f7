/* The loops of pooling in plain C.
 * SPDX-License-Identifier: Apache-2.0 */
#define TABLE pool_c
#include "kernels/pool_kinds_tmpl.h"
