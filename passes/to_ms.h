/* What com.microsoft has: the passes to-ms-... of target ort write it, and the rules that
 * state newer operators for them ask whether they will.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_TO_MS_H
#define PLN_PASSES_TO_MS_H

#include "passes/pass.h"

#define PLN_MS "com.microsoft"

/* A norm of v over its last axis goes into one node with the sum that v is. */
bool pln_ms_takes_sum(const pln_value *v);
/* A norm of v over its last axis goes into one node with the lookups that v is a sum
 * of. */
bool pln_ms_takes_embedding(const pln_value *v);
/* RotaryEmbedding has a form there; rows_are_known: its angles are picked by position, or
 * are the same for all of the batch. */
bool pln_ms_takes_rotary(const pln_pass_ctx *ctx, pln_dtype dt, bool rows_are_known);

#endif
