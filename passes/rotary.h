/* Parts of fuse-rotary: a rotation that was found, and its angles.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_ROTARY_H
#define PLN_PASSES_ROTARY_H

#include "passes/known.h"

typedef struct pln_rotary {
    pln_value *x, *cosine, *sine;
    bool pairs; /* elements 2i and 2i + 1 turn together, rather than i and i + half */
    bool twice; /* cosine and sine hold each angle twice, in that order */
} pln_rotary;

/* Puts the operator in the place of the match's root, if the angles are known to be what
 * it takes. */
pln_status pln_rotary_build(pln_match *m, pln_patch *p, const pln_rotary *r);

#endif
