/* What com.microsoft has: the passes to-ms-... of target ort write it, and the rules that
 * state newer operators for them ask whether they will.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_TO_MS_H
#define PLN_PASSES_TO_MS_H

#include "passes/pass.h"

#define PLN_MS "com.microsoft"

/* A norm of v over its last axis goes into one node with the sum that v is. */
bool pln_ms_takes_sum(const pln_value *v);

#endif
