/* The form of symbolic expressions, for the files that make, bound and print them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_DIM_IMPL_H
#define PLN_IR_DIM_IMPL_H

#include "src/ir/dim.h"

typedef enum dim_kind { /* in printing order of the atoms of a product */
    DIM_SYMBOL,
    DIM_DIV,
    DIM_DIV_UP,
    DIM_MOD,
    DIM_MIN,
    DIM_MAX
} dim_kind;

typedef struct dim_atom {
    void *next; /* in the table */
    uint64_t hash;
    dim_kind kind;
    int depth; /* nesting of atoms */
    const char *name; /* of a symbol */
    size_t len;
    pln_dim a, b; /* operands */
} dim_atom;

/* A product of atoms, in order; a factor appears as often as its power says. */
typedef struct dim_mono {
    void *next;
    uint64_t hash;
    uint32_t n;
    int depth;
    const dim_atom *f[];
} dim_mono;

typedef struct dim_term {
    int64_t coef;      /* not 0 */
    const dim_mono *m; /* NULL: the constant */
} dim_term;

struct pln_expr { /* a sum, greatest term first, that is not a mere constant */
    void *next;
    uint64_t hash;
    uint32_t n;
    int depth;
    dim_term t[];
};

#endif
