/* Made constants: what nodes compute from constants, kept as few numbers although it is
 * large. SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_MADE_H
#define PLN_PASSES_MADE_H

#include "passes/pass.h"

/* A tensor of floating point numbers that repeat along some dimensions: those whose
 * `has` is 1 while `dims` is larger. */
typedef struct pln_made {
    pln_dtype dtype;
    int rank;
    int64_t dims[PLN_MAX_RANK]; /* of the tensor */
    int64_t has[PLN_MAX_RANK];  /* of the numbers: 1, or as in dims */
    int64_t n;                  /* how many numbers */
    double *v;
} pln_made;

/* Reads a constant of few elements, or what ConstantOfShape, Expand and nodes that only
 * reshape make of one; all sizes are known. The numbers lie in the arena. */
bool pln_made_read(const pln_value *v, pln_arena *arena, pln_made *out);
/* All numbers are the same. */
bool pln_made_is_uniform(const pln_made *m);
int64_t pln_made_count(const pln_made *m); /* elements of the tensor */
/* The number at place `i` of dimension `axis`, others 0: those have no numbers. */
double pln_made_at(const pln_made *m, int axis, int64_t i);
/* Varies along `axis` alone, or not at all. */
bool pln_made_is_along(const pln_made *m, int axis);
/* factor[i] times what lies at place i of `axis`; n_factors is 1 or that dimension. */
bool pln_made_scale(pln_made *m, pln_arena *arena, int axis, const double *factor,
                    int64_t n_factors);
/* As a value of the patch: a constant where nothing repeats, otherwise ConstantOfShape or
 * Expand. `like` (may be NULL) is a value whose maker may have the shape already. */
pln_value *pln_made_emit(pln_patch *p, const pln_made *m, const pln_value *like,
                         const char *hint);

#endif
