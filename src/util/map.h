/* Hash map from pointers (or integers cast to them) to pointers, open addressing.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_UTIL_MAP_H
#define PLN_UTIL_MAP_H

#include "src/util/alloc.h"

typedef struct pln_map {
    const pln_allocator *alloc;
    const void **keys; /* NULL: free slot; the NULL key is not allowed */
    void **values;
    size_t n, cap; /* n counts removed slots too; cap is a power of two or 0 */
} pln_map;

void pln_map_init(pln_map *map, const pln_allocator *a);
void pln_map_done(pln_map *map);
bool pln_map_put(pln_map *map, const void *key, void *value); /* false: no memory */
void *pln_map_get(const pln_map *map, const void *key);       /* NULL: not there */
bool pln_map_has(const pln_map *map, const void *key);
void pln_map_remove(pln_map *map, const void *key);

/* FNV-1a of bytes; also used to hash structures piece by piece (seed: the last
 * result). */
#define PLN_HASH_SEED UINT64_C(0xcbf29ce484222325)
uint64_t pln_hash(uint64_t seed, const void *bytes, size_t len);

#endif
