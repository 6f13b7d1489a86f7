/* A table from keys (numbers or texts) to their positions.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_ML_KEYS_H
#define PLN_KERNELS_ML_KEYS_H

#include "kernels/ml_common.h"

/* A key: text where s is not NULL, else a number. Floats are compared as numbers: both
 * zeros are equal, and so are all NaNs. */
typedef struct pln_key {
    const char *s;
    size_t len;
    uint64_t bits;
} pln_key;

typedef struct pln_keys {
    const pln_allocator *alloc;
    pln_key *keys;
    int32_t *slots; /* position + 1; 0: free */
    size_t cap, n;
} pln_keys;

pln_key pln_key_int(int64_t v);
pln_key pln_key_float(double v);
pln_key pln_key_text(const char *s, size_t len);
/* Element of a tensor of any type. */
pln_key pln_key_of(const pln_tensor *t, int64_t i);

bool pln_keys_init(pln_keys *k, const pln_allocator *a, size_t n); /* room for n */
void pln_keys_done(pln_keys *k);
void pln_keys_add(pln_keys *k, pln_key key);           /* the first of equal keys stays */
int64_t pln_keys_find(const pln_keys *k, pln_key key); /* -1: not there */
/* From whichever list is not empty. Texts stay where they are. */
bool pln_keys_from(pln_keys *k, const pln_allocator *a, pln_ints ints, pln_floats floats,
                   pln_strings strings, const pln_tensor *t);

#endif
