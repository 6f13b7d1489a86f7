/* Hash map from pointers to pointers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/util/map.h"

#include "src/util/size.h"

static const char removed; /* key of a slot whose entry was taken out */

void pln_map_init(pln_map *map, const pln_allocator *a)
{
    *map = (pln_map){ .alloc = a };
}

void pln_map_done(pln_map *map)
{
    pln_release(map->alloc, map->keys);
    pln_release(map->alloc, map->values);
    pln_map_init(map, map->alloc);
}

static size_t slot_of(const void *key, size_t cap)
{
    uint64_t h = (uint64_t)(uintptr_t)key;
    h ^= h >> 33;
    h *= UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 29;
    return (size_t)h & (cap - 1);
}

/* The slot that holds key, or else the first free one. */
static size_t find(const pln_map *map, const void *key)
{
    size_t i = slot_of(key, map->cap);
    while (map->keys[i] && map->keys[i] != key)
        i = (i + 1) & (map->cap - 1);
    return i;
}

static bool rehash(pln_map *map)
{
    size_t cap = map->cap ? map->cap : 8, live = 0;
    for (size_t i = 0; i < map->cap; i++)
        live += map->keys[i] && map->keys[i] != &removed;
    while (live * 2 >= cap)
        if (!pln_size_mul(&cap, cap, 2))
            return false;
    pln_map bigger = { .alloc = map->alloc, .cap = cap, .n = live };
    bigger.keys = pln_calloc(map->alloc, cap, sizeof *bigger.keys);
    bigger.values = pln_calloc(map->alloc, cap, sizeof *bigger.values);
    if (!bigger.keys || !bigger.values) {
        pln_map_done(&bigger);
        return false;
    }
    for (size_t i = 0; i < map->cap; i++) {
        if (!map->keys[i] || map->keys[i] == &removed)
            continue;
        const size_t j = find(&bigger, map->keys[i]);
        bigger.keys[j] = map->keys[i];
        bigger.values[j] = map->values[i];
    }
    pln_map_done(map);
    *map = bigger;
    return true;
}

bool pln_map_put(pln_map *map, const void *key, void *value)
{
    if ((map->n + 1) * 4 > map->cap * 3 && !rehash(map))
        return false;
    const size_t i = find(map, key);
    if (!map->keys[i])
        map->n++;
    map->keys[i] = key;
    map->values[i] = value;
    return true;
}

bool pln_map_has(const pln_map *map, const void *key)
{
    return map->cap && key && map->keys[find(map, key)];
}

void *pln_map_get(const pln_map *map, const void *key)
{
    return map->cap && key ? map->values[find(map, key)] : NULL;
}

void pln_map_remove(pln_map *map, const void *key)
{
    if (!pln_map_has(map, key))
        return;
    const size_t i = find(map, key);
    map->keys[i] = &removed;
    map->values[i] = NULL;
}

uint64_t pln_hash(uint64_t seed, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    uint64_t h = seed;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}
