/* Interned names, in a hash table by contents.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/util/name.h"

#include <string.h>

#include "src/util/map.h"

typedef struct name_item {
    uint64_t hash;
    size_t len;
    char bytes[];
} name_item;

struct pln_names {
    pln_arena *arena;
    name_item **slots; /* in the arena; outgrown tables stay there */
    size_t n, cap;
};

static const name_item *item_of(const char *name)
{
    return (const name_item *)(const void *)(name - offsetof(name_item, bytes));
}

pln_names *pln_names_new(pln_arena *arena)
{
    pln_names *names = PLN_NEW(arena, pln_names);
    if (!names)
        return NULL;
    names->arena = arena;
    names->cap = 256;
    names->slots = PLN_NEW_ARRAY(arena, name_item *, names->cap);
    return names->slots ? names : NULL;
}

static size_t find(const pln_names *names, const char *bytes, size_t len, uint64_t h)
{
    size_t i = (size_t)h & (names->cap - 1);
    for (; names->slots[i]; i = (i + 1) & (names->cap - 1)) {
        const name_item *it = names->slots[i];
        if (it->hash == h && it->len == len && (!len || !memcmp(it->bytes, bytes, len)))
            break;
    }
    return i;
}

static bool grow(pln_names *names)
{
    pln_names bigger = { .arena = names->arena, .cap = names->cap * 2, .n = names->n };
    bigger.slots = PLN_NEW_ARRAY(names->arena, name_item *, bigger.cap);
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i < names->cap; i++) {
        name_item *it = names->slots[i];
        if (it)
            bigger.slots[find(&bigger, it->bytes, it->len, it->hash)] = it;
    }
    *names = bigger;
    return true;
}

const char *pln_name_find(const pln_names *names, const char *bytes, size_t len)
{
    const name_item *it =
        names->slots[find(names, bytes, len, pln_hash(PLN_HASH_SEED, bytes, len))];
    return it ? it->bytes : NULL;
}

const char *pln_name_intern(pln_names *names, const char *bytes, size_t len)
{
    const uint64_t h = pln_hash(PLN_HASH_SEED, bytes, len);
    size_t i = find(names, bytes, len, h);
    if (names->slots[i])
        return names->slots[i]->bytes;
    if (names->n * 2 >= names->cap) {
        if (!grow(names))
            return NULL;
        i = find(names, bytes, len, h);
    }
    size_t size;
    if (__builtin_add_overflow(len, sizeof(name_item) + 1, &size))
        return NULL;
    name_item *it = pln_arena_alloc(names->arena, size);
    if (!it)
        return NULL;
    it->hash = h;
    it->len = len;
    if (len)
        memcpy(it->bytes, bytes, len);
    names->slots[i] = it;
    names->n++;
    return it->bytes;
}

const char *pln_name_cstr(pln_names *names, const char *s)
{
    return pln_name_intern(names, s, strlen(s));
}

size_t pln_name_len(const char *name)
{
    return item_of(name)->len;
}

uint64_t pln_name_hash(const char *name)
{
    return item_of(name)->hash;
}
