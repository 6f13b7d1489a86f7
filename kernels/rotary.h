/* Rotary position embedding: what RotaryEmbedding and the attention operators share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_ROTARY_H
#define PLN_KERNELS_ROTARY_H

#include <stdbool.h>
#include <stdint.h>

/* y = x with its pairs (i, i + half), or (2i, 2i + 1) if interleaved, turned by the
 * angles of cosine[i] and sine[i]; the elements from 2 half to dim pass. y may be x. */
void pln_rotary_turn(float *y, const float *x, const float *cosine, const float *sine,
                     int64_t half, int64_t dim, bool interleaved);

#endif
